"""Emptying a node: cordon, evict, verify, uncordon. May import kubeapi and everything pure.

Tests: `tests/clues/drain/`.
"""

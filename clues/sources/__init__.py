"""Where the picture comes from: list-and-watch, decoding, caches, snapshots. May import kubeapi and everything pure.

Tests: `tests/clues/sources/`.
"""

"""Decisions on files: object dumps, scenarios, scheduler verdicts, records. No network.

Tests: `tests/clues/offline/`.
"""

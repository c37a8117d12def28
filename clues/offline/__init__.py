"""Decisions on files: object dumps, scenarios, scheduler verdicts, records. No network.

Whatever is read becomes Kubernetes objects as JSON and goes through the same cache as a live cluster's. What is read is
never trusted: one clear error for a file that is wrong. Tests: `tests/clues/offline/`, `tests/clues/scenarios/`.
"""

"""What must outlive a restart, and what is reported: orders, timers, decisions, states, in SQLite.

Tests: `tests/clues/history/`.
"""

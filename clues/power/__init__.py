"""Drivers that turn machines on and off. May import settings-free values only: options, model, infracore.

Tests: `tests/clues/power/`.
"""

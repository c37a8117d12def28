"""The elasticity daemon. Never imports `im_client`: it asks for machines over the REST API. Tests: `tests/clues/`."""

Tests: `tests/clues/`.
"""

"""The elasticity daemon. Never imports `im_client`: it asks for machines over the IM REST API.

Tests: `tests/clues/`.
"""

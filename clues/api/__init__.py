"""What a running cluesd answers: the control socket, /metrics, /healthz, the status page.

Tests: `tests/clues/api/`.
"""

"""The use cases: all that `cli` and `api` may call. Tests: `tests/im_client/services/`."""

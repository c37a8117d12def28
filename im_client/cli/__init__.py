"""The command line. The only home of click and rich. Calls `services` only. Tests: `tests/im_client/cli/`."""

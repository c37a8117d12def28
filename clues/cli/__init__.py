"""The commands `clues` and `cluesd`. The only home of click in this product. Tests: `tests/clues/cli/`."""

"""The commands `clues` and `cluesd`. The only home of click and rich in this product. Tests: `tests/clues/cli/`.

`main.py` holds both programs, `commands/` one file a command of `clues`, `session.py` what they share, `tables.py` and
`explain.py` what people read. Data goes to standard output, everything else to standard error.
"""

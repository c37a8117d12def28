"""What the command lines of both products have in common: how help reads, where output goes, how a command ends.

May import click and rich (see docs/decisions/0014), and nothing of either product. Only `im_client.cli` and
`clues.cli` may import it. Nothing here is imported by `--help` but click: rich is imported where a table is drawn.
Tests: `tests/infracore/cli/`, and through the commands `tests/im_client/cli/` and `tests/clues/cli/`.
"""

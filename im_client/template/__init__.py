"""What every front end gives of a template: its problems, its inputs, its topology.

For: the words that `tosca` and `radl` share. Both read text of a user and say all that is wrong with it, with file,
line and column; both lower it to a topology.
May import: `topology`, `infracore`.
Never: does I/O, knows a language.
Tests: with the front ends, `tests/im_client/tosca/` and `tests/im_client/radl/`.
"""

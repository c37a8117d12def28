"""The reader and writer of RADL, the Infrastructure Manager's own language, as text and as JSON.

For: `front.analyse`, which reads a document, says all that is wrong with it and lowers it to a topology;
`text.write` and `jsonwriter.write`, which give a document back; `describe`, which puts a topology or a machine as RADL.
May import: `template`, `topology`, `infracore`, and PyYAML for the recipes in a document.
Never: does I/O but through the `Reader` of its caller; logs, reads a clock or the environment; stops at the first
problem; raises on account of a document.
Tests: `tests/im_client/radl/`, `tests/golden/radl/`.
"""

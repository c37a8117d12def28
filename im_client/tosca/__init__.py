"""The TOSCA front end: from a template's text to its problems and a topology.

For: `front.analyse`, which reads, merges, checks and lowers a template with its add-ons and imports.
May import: `topology`, `infracore`, PyYAML; tosca-parser is data (its normative types) and, in tests, the oracle.
Never: does I/O but through the `Reader` of its caller and for the types that are installed with this program;
logs, reads a clock or the environment; stops at the first problem; raises on account of a template.
Tests: `tests/im_client/tosca/`, `tests/im_client/tosca_cases/`, `tests/golden/`.
"""

"""Words and tools that `im_client` and `clues` share.

For: errors, exit codes, units, identifiers, time, processes, secrets, settings, retries, logging.
May import: the standard library and small vendor libraries (msgspec, PyYAML, structlog, cryptography).
Never: knows of templates, machines, clusters or either product.
Tests: `tests/infracore/`.
"""

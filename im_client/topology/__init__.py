"""What a template asks for, free of TOSCA: groups of machines, networks, volumes, operations, outputs.

For: the frozen model, resolving values that machines give at run time, and scaling it. Pure.
May import: `infracore`. Never: does I/O, reads a clock, logs, imports a vendor library.
Tests: `tests/im_client/topology/`.
"""

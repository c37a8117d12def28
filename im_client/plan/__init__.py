"""From the desired topology, the recorded state and what the provider reports to an ordered list of steps.

For: the plan's model, building, ordering and explaining it. Pure: equal inputs give an equal plan.
May import: `topology`, `infracore`. Never: does I/O, reads a clock, logs, imports a vendor library.
Tests: `tests/im_client/plan/`.
"""

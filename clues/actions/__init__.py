"""What was decided is done: machines ordered, nodes drained and turned off, each step stored before it is taken.

May import `history`, `power`, `drain`, `settings` and below. All state belongs to the loop's thread; what blocks runs
in workers and comes back as a message. Nothing here decides: what may go was said by `decide`, and is looked at again.
Tests: `tests/clues/actions/`.
"""

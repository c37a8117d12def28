"""Running a graph of steps over a bounded pool of threads: progress, retries, time limits, cancelling.

May import: `plan`, `infracore`. Never: knows a provider, Ansible or the state.
Tests: `tests/im_client/execute/`.
"""

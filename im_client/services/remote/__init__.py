"""The use cases against an Infrastructure Manager elsewhere: ours (`im serve`) or the original, over its REST API.

Nothing of such an infrastructure is recorded here; the server knows. What a server cannot do is refused in one line,
never done in another meaning. `model`, `planning` and the composing of a template are pure but for reading files.
May import: what `services` may. Tests: `tests/im_client/services/remote/`; whole life cycles in `tests/e2e/`.
"""

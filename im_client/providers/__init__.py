"""Where machines come from: one module (or package) a provider behind the protocol of `base.py`.

May import: `inventory`, `remote`, `auth`, `plan`, `topology`, `infracore`, and the vendor library of the provider.
Never: imports `state`, `services` or another provider; lets a vendor error out.
Tests: `tests/contracts/` (the suite that every provider passes) and `tests/im_client/providers/`.
"""

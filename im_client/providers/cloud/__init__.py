"""What all clouds have in common: choosing sizes and images, marks, looking, waiting, trying again.

A cloud is an adapter (`base.Cloud`) that speaks one vendor's API and lets none of its types out; `CloudProvider` makes
a provider of it. May import: providers' own modules, `remote`, `plan`, `infracore`. Never: a vendor's library.
Tests: `tests/im_client/providers/cloud/`.
"""

"""Which playbooks run on which machines, and running them: `ansible-playbook` as a subprocess.

May import: `inventory`, `remote`, `plan`, `topology`, `infracore`. Never: imports ansible; shows a secret.
Tests: `tests/im_client/configure/` (marker `ansible` runs the real program).
"""

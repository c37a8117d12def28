"""Machines -> Ansible inventory. May import: `remote`, `topology`, `infracore`. Tests: `tests/im_client/inventory/`."""

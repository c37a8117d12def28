"""cloud-init's user data: who may log in, and what the template adds."""

import json
from collections.abc import Mapping, Sequence
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText

__all__ = ["account", "merged"]


def account(name: str, user: str, authorized_keys: Sequence[str], further: Mapping[str, object] | None = None) -> str:
    """Return user data (cloud-config) that names the machine and lets keys log in. Holds no secret of its own.

    The machine makes its own host keys, unless `further` parts of the configuration bring them, and writes their
    public halves on its console.
    """
    person: dict[str, object] = {"name": user, "ssh_authorized_keys": list(authorized_keys)}
    if user != "root":
        person |= {"sudo": "ALL=(ALL) NOPASSWD:ALL", "shell": "/bin/bash", "lock_passwd": True}
    config = {
        "hostname": name,
        "preserve_hostname": False,
        "disable_root": user != "root",
        "users": ["default", person],
        "ssh": {"emit_keys_to_console": True},
        **(further or {}),
    }
    return f"#cloud-config\n{json.dumps(config)}\n"


def merged(own: str, further: str) -> str:
    """Put our part and the template's into one MIME archive; cloud-init merges them."""
    if not further:
        return own
    archive = MIMEMultipart()
    for text in (own, further):
        kind = "cloud-config" if text.startswith("#cloud-config") else "x-shellscript"
        archive.attach(MIMEText(text, kind))
    return archive.as_string()

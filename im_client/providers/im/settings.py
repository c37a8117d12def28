"""The settings of the `im` provider."""

import msgspec

__all__ = ["ImSettings"]


class ImSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What may be set. Secrets stand in files, or in IM_TOKEN; never here."""

    server: str = ""
    """Address of the Infrastructure Manager."""
    auth_file: str = ""
    """Its auth file: credentials for it and for clouds."""
    token_file: str = ""
    """A token for it; IM_TOKEN in the environment wins."""
    ca_file: str = ""
    """Certificates (PEM) that vouch for it; "": those of this computer."""
    insecure_http: bool = False
    """Send credentials also without TLS to other computers."""
    cloud: str = ""
    """Id of the cloud in the auth file where a template says none; "": the server chooses."""
    image: str = ""
    """Image where a template names none, such as `ost://cloud.example.org/ID`."""
    reachable: bool = True
    """Whether its machines can be logged in to from here."""
    request_s: float = 300.0
    """How long one answer may take."""
    state_dir: str = ""
    """Folder of the host keys that machines have shown first; "": below the user's state folder."""

"""What may be set of an OpenStack cloud beside what all clouds share."""

from typing import Literal

from im_client.providers.cloud.settings import CloudSettings

__all__ = ["OpenStackSettings"]


class OpenStackSettings(CloudSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The provider's section of the settings."""

    cloud: str = ""
    """Entry of clouds.yaml; "": the line of the auth file, else OS_CLOUD and OS_*."""
    region: str = ""
    """Region of the catalogue; "": what the login says, else the only one."""
    interface: Literal["public", "internal", "admin"] = "public"
    """Which of a service's addresses are used."""
    ca_file: str = ""
    """Certificates that sign the cloud's; "": those of this computer."""
    token_file: str = ""
    """File with an OIDC access token, read anew when the cloud refuses the last one; wins over the auth file's."""
    network: str = ""
    """Private network (id, name or wildcard) of cards that name none; "": guessed, which the plan says."""
    make_network: bool = True
    """Whether a network, subnet and router are made where there is no private network to use."""
    network_cidr: str = "10.77.0.0/24"
    """Of networks that are made without the template saying so."""
    dns_servers: tuple[str, ...] = ()
    """Of networks that are made; none: the cloud's."""
    pool: str = ""
    """External network of floating IPs that name none; "": guessed, which the plan says."""
    boot_volume: Literal["auto", "always", "never"] = "auto"
    """Start from a volume: where the flavor has no disk or one that is too small, or always, or never."""
    volume_type: str = ""
    """Type of volumes that name none."""
    config_drive: bool = False
    """Give cloud-init a drive, where the cloud has no metadata service."""
    anti_affinity: Literal["", "anti-affinity", "soft-anti-affinity"] = ""
    """Keep the machines of an infrastructure on different hosts: always, or where it can be done."""
    key_pair: bool = True
    """Register the key with the cloud too, for images that take it from there and not from user data."""

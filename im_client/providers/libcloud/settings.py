"""What may be set of a cloud behind libcloud, beside what all clouds share."""

from im_client.providers.cloud.settings import CloudSettings

__all__ = ["LibcloudSettings"]


class LibcloudSettings(CloudSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The provider's section of the settings."""

    region: str = ""
    """Region, at CloudStack and GCE the zone, where machines are made; "": what the line of the auth file says."""
    address: str = ""
    """Another address of the API and of its login, `https://HOST:PORT`; "": the cloud's own."""
    ca_file: str = ""
    """Certificates that sign the API's; "": those that come with libcloud."""
    network: str = ""
    """Network of new machines, at CloudStack its id or name; "": the cloud's default one."""

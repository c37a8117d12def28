"""What may be set of the EGI Federated Cloud beside what is set of an OpenStack."""

from im_client.providers.openstack.settings import OpenStackSettings

__all__ = ["EgiSettings"]


class EgiSettings(OpenStackSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The provider's section of the settings. `cloud` means nothing here."""

    site: str = ""
    """Site, by its name in GOCDB or the host of its endpoint; "": the auth line's `host`, else EGI_SITE."""
    vo: str = ""
    """Virtual organisation; "": the auth line's `vo`, else EGI_VO."""
    information: str = "https://is.cloud.egi.eu"
    """Address of the information service."""
    sites_file: str = ""
    """File or folder of sites that is used in its place."""
    cache_dir: str = ""
    """Folder where its answers are kept; "": they are not kept."""
    keep_s: float = 6 * 3600.0
    """How long they are kept; where it does not answer, older ones are used."""
    issuer: str = "https://aai.egi.eu/auth/realms/egi"
    """Issuer of tokens (Check-in)."""
    oidc_account: str = ""
    """Account of oidc-agent; "": the auth line's, else OIDC_AGENT_ACCOUNT, else one of the issuer."""
    client_id: str = ""
    """OIDC client of a refresh token; "": the auth line's, else OIDC_CLIENT_ID."""
    identity_provider: str = "egi.eu"
    """How the sites' Keystones call Check-in, where a site does not say."""
    protocol: str = "openid"
    """Of their federation, where a site does not say."""
    dns: str = "https://nsupdate.fedcloud.eu"
    """Address of the dynamic DNS; "": names are left to you."""

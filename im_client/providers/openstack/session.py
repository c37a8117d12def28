"""How a cloud is logged in to: a line of the auth file, clouds.yaml, the environment, or an OIDC access token.

A `Connect` makes what openstacksdk calls a cloud region: endpoint, project and credentials. The provider calls it when
it first needs the cloud, and again when credentials are refused: whoever has them renewed elsewhere gives another one.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from im_client.auth.authfile import GROUP_MAY, private_text
from im_client.auth.credentials import Credential
from im_client.providers.cloud.lent import Lent, protect
from im_client.providers.openstack.settings import OpenStackSettings
from infracore.errors import Misconfigured, Unauthorised, Unsupported

if TYPE_CHECKING:
    from openstack.config.cloud_region import CloudRegion

__all__ = ["Connect", "connect_by_line", "connect_by_name", "region"]

Connect = Callable[[], "CloudRegion"]
"""Reads credentials and returns where and as whom to log in. May ask the cloud which project is meant; its errors may
be openstacksdk's: `Api` translates them."""

_KINDS: Final = {
    "": "password",
    "3.x_password": "password",
    "3.x": "password",
    "3.x_appcred": "application credential",
    "3.x_oidc_access_token": "token",
}
"""`auth_version` of the Infrastructure Manager -> what is logged in with."""


def region(
    auth_type: str, auth: Mapping[str, str], name: str, settings: OpenStackSettings, lent: Lent | None = None
) -> "CloudRegion":
    """Return a cloud region for credentials that stand neither in clouds.yaml nor in the environment.

    `auth_type` is the name of a plugin of keystoneauth: `v3password`, `v3oidcaccesstoken`.
    """
    from openstack.config import OpenStackConfig

    config = OpenStackConfig(load_yaml_config=False, load_envvars=False)
    made = _one(config, settings, region_name=name or None, auth_type=auth_type, auth=dict(auth))
    if lent is not None:
        protect(made.get_session().session, lent)
    return made


def connect_by_line(
    credential: Credential, settings: OpenStackSettings, lent: Lent | None = None
) -> tuple[Connect, str]:
    """Return the way in by a line of the auth file, and the place for people.

    Raises:
        Misconfigured: a field is missing. Unauthorised: a lent line has no password, or its host is not allowed.
        Unsupported: an `auth_version` that is not spoken.
    """
    said = {key: value.reveal() for key, value in credential.fields.items()}
    name = credential.id or "OpenStack"
    host = said.get("host", "")
    if not host.startswith(("https://", "http://")):
        raise Misconfigured(f"the line {name} of the auth file needs host = https://SERVER:5000")
    kind = _KINDS.get(said.get("auth_version", ""))
    if kind is None:
        raise Unsupported(
            f"the line {name} of the auth file has an auth_version that is not spoken",
            f"known: {', '.join(key for key in _KINDS if key)}",
        )
    wants = ["username", "password", *(["tenant"] if kind != "application credential" else [])]
    if kind == "token" and settings.token_file:
        wants.remove("password")
    if lent is not None and not said.get("password"):
        raise Unauthorised(
            f"the line {name} has no password", "send it with what logs in: no other login is used for it"
        )
    if missing := [key for key in wants if not said.get(key)]:
        raise Misconfigured(f"the line {name} of the auth file has no {' and no '.join(missing)}")
    if lent is not None:
        lent.check(host)
    url, where = _identity(host), said.get("service_region", "") or settings.region

    def connect() -> "CloudRegion":
        if kind == "application credential":
            key = {"application_credential_id": said["username"], "application_credential_secret": said["password"]}
            return region("v3applicationcredential", {"auth_url": url, **key}, where, settings, lent)
        if kind == "token":
            return _federated({"auth_url": url, **_token(said, settings)}, said, where, settings, lent)
        domain = said.get("domain") or "Default"
        login = {
            "username": said["username"],
            "password": said["password"],
            "project_name": said["tenant"],
            "user_domain_name": domain,
        }
        tenant_domain = said.get("tenant_domain_id")
        own = {"project_domain_id": tenant_domain} if tenant_domain else {"project_domain_name": domain}
        return region("v3password", {"auth_url": url, **login, **own}, where, settings, lent)

    return connect, host


def connect_by_name(settings: OpenStackSettings, environ: Mapping[str, str]) -> tuple[Connect, str]:
    """Return the way in by clouds.yaml or the environment, and the place for people.

    Raises:
        Unauthorised: neither names a cloud.
    """
    cloud = settings.cloud or environ.get("OS_CLOUD", "")
    if not cloud and not environ.get("OS_AUTH_URL"):
        raise Unauthorised(
            "there are no credentials for OpenStack",
            "write a line of type OpenStack into the auth file, set `cloud` to an entry of clouds.yaml, or OS_CLOUD",
        )

    def connect() -> "CloudRegion":
        from openstack.config import OpenStackConfig

        config = OpenStackConfig(config_files=_clouds_files(environ))
        if cloud and cloud not in config.get_cloud_names():
            raise Misconfigured(
                f"clouds.yaml has no cloud {cloud!r}",
                f"it has: {', '.join(sorted(config.get_cloud_names())) or 'none'}",
            )
        return _one(config, settings, cloud=cloud or None, region_name=settings.region or None)

    return connect, f"the cloud {cloud} of clouds.yaml" if cloud else environ["OS_AUTH_URL"]


def _clouds_files(environ: Mapping[str, str]) -> list[str] | None:
    """Return the file that the environment names; None: openstacksdk's own places."""
    named = environ.get("OS_CLIENT_CONFIG_FILE")
    return [named] if named else None


def _one(config: Any, settings: OpenStackSettings, **more: Any) -> "CloudRegion":
    import keystoneauth1.exceptions
    import openstack.exceptions

    if settings.ca_file:
        more["cacert"] = settings.ca_file
    try:
        made: CloudRegion = config.get_one(
            api_timeout=settings.request_s, interface=settings.interface, **{k: v for k, v in more.items() if v}
        )
    except (openstack.exceptions.ConfigException, keystoneauth1.exceptions.ClientException) as error:
        # their texts name options, not values
        raise Misconfigured(f"the credentials for OpenStack are not complete: {error}") from error
    if made.get_auth() is None:
        raise Misconfigured("the credentials for OpenStack name no way to log in", "set auth_type")
    return made


def _identity(host: str) -> str:
    url = host.rstrip("/").removesuffix("/v2.0").rstrip("/")
    return url if url.endswith("/v3") else f"{url}/v3"


def _token(said: Mapping[str, str], settings: OpenStackSettings) -> dict[str, str]:
    """Return the login by an OIDC access token: IM puts provider, protocol and project in fields of other names."""
    token = said.get("password", "")
    if settings.token_file:
        token = private_text(settings.token_file, "file of the access token", barred=GROUP_MAY).strip()
    return {"identity_provider": said["username"], "protocol": said["tenant"], "access_token": token}


def _federated(
    login: Mapping[str, str], said: Mapping[str, str], where: str, settings: OpenStackSettings, lent: Lent | None
) -> "CloudRegion":
    """Scope a login by an access token to its project: `domain` of the line, an id or a name."""
    project = said.get("domain", "")
    kind = "v3oidcaccesstoken"
    if _is_id(project):
        return region(kind, {**login, "project_id": project}, where, settings, lent)
    if project and said.get("tenant_domain_id"):
        scope = {"project_name": project, "project_domain_id": said["tenant_domain_id"]}
        return region(kind, {**login, **scope}, where, settings, lent)
    # names are unique within a domain only, and the domain of federated projects is rarely known
    session = region(kind, login, where, settings, lent).get_session()
    known = session.get(f"{login['auth_url']}/auth/projects").json().get("projects", [])
    found = [one["id"] for one in known if project in {"", one["name"]}]
    if len(found) != 1:
        names = ", ".join(sorted(one["name"] for one in known)) or "none"
        which = f"has no project {project!r}" if project and not found else "has several projects"
        raise Misconfigured(f"the access token {which}", f"say which: domain = PROJECT; there are: {names}")
    return region(kind, {**login, "project_id": found[0]}, where, settings, lent)


def _is_id(text: str) -> bool:
    plain = text.replace("-", "")
    return len(plain) == 32 and all(letter in "0123456789abcdef" for letter in plain)

"""As whom one uses the Federated Cloud: site, VO and tokens, of a line of the auth file, settings, or the environment.

A line is `id = egi; type = EGI; host = SITE; vo = VO; token = TOKEN`; of type `EGIIS`, without `host`, it stands for
all sites of the VO. Further keys: `refresh_token`, `client_id`, `client_secret`, `oidc_account`, `dns_secrets`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from im_client.auth.asking import Service, safe_url
from im_client.auth.claims import Claims, vos_of
from im_client.auth.credentials import Credential
from im_client.auth.issuer import Issuer
from im_client.auth.tokens import Agent, Given, InFile, Refreshed, Source, Tokens, from_environment
from im_client.providers.base import Finding, Severity
from im_client.providers.egi.dns import DynamicDns, parse_secrets
from im_client.providers.egi.information import Information, Place
from im_client.providers.egi.settings import EgiSettings
from infracore.clock import Clock
from infracore.errors import Misconfigured, Unauthorised
from infracore.http import Http, parse_address
from infracore.secrets import Secret

__all__ = ["Account", "open_account", "refuse_without_token"]

_NONE: Final = Secret("")
_SERVICE_S: Final = 20.0
"""How long a service beside the cloud may take; the cloud's own limit is the setting `request_s`."""


@dataclass(frozen=True, slots=True)
class Account:
    """One account at one site, or at all of a VO."""

    site: str
    """"": the first site of the VO."""
    vo: str
    tokens: Tokens
    issuer: Issuer
    information: Information
    dns: DynamicDns | None

    @property
    def place(self) -> str:
        """The place for people."""
        return f"{self.site or 'the first site'} of EGI's Federated Cloud (VO {self.vo})"

    def where(self) -> Place:
        """Return the site and the project. May ask the information service; raises as `Information.place`."""
        return self.information.place(self.site, self.vo) if self.site else self.information.places(self.vo)[0]

    def membership(self) -> list[Finding]:
        """Say whether the owner is a member of the VO, as the token or its issuer says; the site decides."""
        said = self.tokens.claims.vos
        if said is None:
            said = vos_of(self.issuer.userinfo(self.tokens.get()))
        if said is None:
            return [Finding("VO", Severity.WARNING, f"neither the token nor its issuer says of {self.vo}")]
        if self.vo in said:
            return [Finding("VO", Severity.OK, f"a member of {self.vo}")]
        text = f"no member of {self.vo}, but of: {', '.join(said) or 'none'}"
        return [Finding("VO", Severity.ERROR, text, "join the VO, or choose one of yours")]


def open_account(
    settings: EgiSettings, credential: Credential | None, environ: Mapping[str, str], clock: Clock
) -> Account:
    """Read what is set; nobody is asked yet.

    Raises:
        Misconfigured: a setting or a field is wrong or missing. Unauthorised: there is neither a line nor a VO.
    """
    said = credential.fields if credential is not None else {}

    def word(key: str, setting: str = "", variable: str = "") -> str:
        return setting or said.get(key, _NONE).reveal() or environ.get(variable, "")

    where = f"the line {credential.id or 'EGI'} of the auth file" if credential is not None else "the environment"
    site, vo = word("host", settings.site, "EGI_SITE"), word("vo", settings.vo, "EGI_VO")
    is_all = credential is not None and credential.type.lower() == "egiis"
    if is_all:  # its host is the address of the information service, for IM
        site = settings.site
    if not vo:
        if credential is None:
            raise Unauthorised(
                "there are no credentials for EGI's Federated Cloud",
                "write id = egi; type = EGI; host = SITE; vo = VO; token = TOKEN into the auth file",
            )
        raise Misconfigured(f"{where} has no vo", "write vo = VO into it, or set `vo`")
    if not site and not is_all:
        raise Misconfigured(
            f"{where} has no host", "write host = SITE into it, or type = EGIIS for all sites of the VO"
        )
    issuer = Issuer(settings.issuer, limit_s=_SERVICE_S)
    tokens = Tokens(_sources(settings, said, environ, issuer, where), clock, lambda claims: _of_vo(claims, vo))
    return Account(site, vo, tokens, issuer, _information(settings, clock), _dns(settings, said, tokens))


def refuse_without_token(credential: Credential | None) -> None:
    """Refuse a caller's line that brings no token: nothing of this computer's takes its place. Raises Unauthorised."""
    said = credential.fields if credential is not None else {}
    if not (said.get("token") or said.get("refresh_token")):
        name = (credential.id if credential is not None else "") or "EGI"
        raise Unauthorised(
            f"the line {name} has neither token nor refresh_token", "send one with it: no other login is used for it"
        )


def _sources(
    settings: EgiSettings, said: Mapping[str, Secret], environ: Mapping[str, str], issuer: Issuer, where: str
) -> list[Source]:
    def secret(key: str, variable: str) -> Secret:
        return said.get(key) or Secret(environ.get(variable, ""))

    sources: list[Source] = []
    if said.get("token"):
        sources.append(Given(f"the token of {where}", said["token"]))
    if agent := environ.get("OIDC_SOCK"):
        account = settings.oidc_account or secret("oidc_account", "OIDC_AGENT_ACCOUNT").reveal()
        sources.append(Agent(Path(agent), account, issuer.url, _SERVICE_S))
    if settings.token_file:
        sources.append(InFile(settings.token_file))
    sources += from_environment(environ)
    if refresh := secret("refresh_token", "OIDC_REFRESH_TOKEN"):
        client = settings.client_id or secret("client_id", "OIDC_CLIENT_ID").reveal()
        if not client:
            raise Misconfigured("a refresh token needs the client that it was given to", "client_id in the auth line")
        sources.append(Refreshed(issuer, refresh, client, secret("client_secret", "OIDC_CLIENT_SECRET")))
    return sources


def _information(settings: EgiSettings, clock: Clock) -> Information:
    http = Http(parse_address(settings.information, "the setting `information`"))
    return Information(
        Service(http, "the information service", _SERVICE_S),
        clock,
        sites_file=Path(settings.sites_file).expanduser() if settings.sites_file else None,
        cache_dir=Path(settings.cache_dir).expanduser() if settings.cache_dir else None,
        keep_s=settings.keep_s,
    )


def _dns(settings: EgiSettings, said: Mapping[str, Secret], tokens: Tokens) -> DynamicDns | None:
    if not settings.dns:
        return None
    http = Http(safe_url(settings.dns, "the setting `dns`"))
    secrets = parse_secrets(said["dns_secrets"].reveal()) if said.get("dns_secrets") else {}
    return DynamicDns(Service(http, "the dynamic DNS", _SERVICE_S), tokens.get, secrets)


def _of_vo(claims: Claims, vo: str) -> None:
    """Refuse a token that says of which VOs its owner is, and not of this one. Raises Unauthorised."""
    if claims.vos is not None and vo not in claims.vos:
        raise Unauthorised(
            f"its owner {claims.subject} is no member of the VO {vo}, but of: {', '.join(claims.vos) or 'none'}",
            "join the VO, or choose one of yours",
        )

"""The settings of `im`: what may be set, what it means, and where it is looked for."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

from im_client.configure.model import AnsibleSettings
from im_client.topology.model import Choose
from infracore.errors import Misconfigured
from infracore.secrets import Secret
from infracore.settings import Loaded, Option, load, options

__all__ = [
    "OidcSettings",
    "RemoteSettings",
    "ServerSettings",
    "Settings",
    "Timeouts",
    "VaultSettings",
    "database_url",
    "describe",
    "files",
    "load_settings",
    "reference",
]


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Limits, in seconds."""

    create_s: float = 900.0
    reachable_s: float = 600.0
    stop_s: float = 600.0


@dataclass(frozen=True, slots=True)
class OidcSettings:
    """Whose bearer tokens a server takes."""

    issuer: str = ""
    audience: str = ""
    jwks: str = ""
    groups: tuple[str, ...] = ()
    groups_claim: str = "groups"
    admin_groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class VaultSettings:
    """Where a server keeps credentials of clouds for those who want it."""

    kind: str = "off"
    key_file: Path = Path()
    url: str = ""
    path: str = "secret/im"
    role: str = "im"


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Settings of `im serve`."""

    host: str = "127.0.0.1"
    port: int = 8800
    public_url: str = ""
    public_ca_file: Path = Path()
    tls_certificate: Path = Path()
    tls_key: Path = Path()
    providers: tuple[str, ...] = ()
    workers: int = 16
    wait_s: float = 120.0
    most_bytes: int = 4 * 2**20
    most_machines: int = 1000
    most_images: int = 20
    offer_images: bool = False
    parse_s: float = 60.0
    fetch_hosts: tuple[str, ...] = ("*",)
    cloud_hosts: tuple[str, ...] = ("*",)
    foreign_playbooks: bool = False
    refresh_s: float = 10.0
    expire_s: float = 60.0
    dashboard: bool = True
    catalogue: tuple[str, ...] = ()
    oidc: OidcSettings = OidcSettings()
    vault: VaultSettings = VaultSettings()


@dataclass(frozen=True, slots=True)
class RemoteSettings:
    """The server that commands are for, in place of this computer."""

    server: str = ""
    auth_file: Path = Path()
    token_file: Path = Path()
    ca_file: Path = Path()
    insecure_http: bool = False
    request_s: float = 600.0
    wait_s: float = 7200.0
    poll_s: float = 2.0
    replace: bool = False


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of `im`."""

    state_dir: Path = Path()
    cache_dir: Path = Path()
    provider: str = "local"
    auth_file: Path = Path()
    placement: Choose = Choose.ORDER
    parallel: int = 20
    lock_wait_s: float = 0.0
    database_url: str = ""
    database_url_file: Path = Path()
    database_connections: int = 8
    lease_s: float = 30.0
    ansible: AnsibleSettings = AnsibleSettings()  # noqa: RUF009 (frozen)
    timeouts: Timeouts = Timeouts()
    server: ServerSettings = ServerSettings()
    remote: RemoteSettings = RemoteSettings()
    providers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    sites: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


DOCS: Final[Mapping[str, tuple[str, str]]] = {
    "state_dir": ("Folder of what is known of infrastructures, with the key file of its secrets.", ""),
    "cache_dir": ("Folder of fetched imports, roles and unpacked archives; may be deleted.", ""),
    "provider": ("Where machines come from if neither the command nor the infrastructure says.", ""),
    "auth_file": ("Auth file of the Infrastructure Manager's form, with the credentials for clouds.", ""),
    "placement": ("Which of several sites is asked first: `order` or `cheapest`; a template may say otherwise.", ""),
    "parallel": ("Steps that run at once.", "steps"),
    "lock_wait_s": ("How long a command waits for another that changes the same infrastructure.", "s"),
    "database_url": ("PostgreSQL database of the state, for several machines; empty: a file in `state_dir`.", ""),
    "database_url_file": ("File whose first line is that address, so that its password stands nowhere else.", ""),
    "database_connections": ("Connections to it that one process has at the most; six more are for locks.", ""),
    "lease_s": ("With PostgreSQL: how long a process may be silent until others take over what it does.", "s"),
    "ansible.program": ("Path of ansible-playbook; empty: the one beside this Python, else on PATH.", ""),
    "ansible.forks": ("Machines that Ansible works on at once.", "machines"),
    "ansible.strategy": ("`auto` (mitogen where it works), `mitogen` or `plain`.", ""),
    "ansible.timeout_s": ("Limit of one run of Ansible.", "s"),
    "ansible.connect_timeout_s": ("Limit of one SSH connection.", "s"),
    "ansible.verbosity": ("Ansible's own -v, 0 to 4; goes to the log.", ""),
    "ansible.roles_path": ("Folders of roles in front of ours.", ""),
    "ansible.collections_path": ("Folders of collections.", ""),
    "ansible.offline": ("Take imports, artifacts and Galaxy roles from the cache only.", ""),
    "timeouts.create_s": ("How long a provider may take to make a machine run.", "s"),
    "timeouts.reachable_s": ("How long a running machine may take to answer on SSH.", "s"),
    "timeouts.stop_s": ("How long a machine may take to stop.", "s"),
    "server.host": ("Address that `im serve` listens on.", ""),
    "server.port": ("Port that it listens on.", ""),
    "server.public_url": ("Address under which machines reach this server, for clusters that scale themselves.", ""),
    "server.public_ca_file": ("Certificates (PEM) that vouch for it, where machines do not know them.", ""),
    "server.tls_certificate": ("Certificate chain (PEM); with it the server speaks HTTPS only.", ""),
    "server.tls_key": ("Key of the certificate (PEM).", ""),
    "server.providers": (
        "Providers that callers may use, clouds with credentials of their own; none: that of the setting `provider`.",
        "",
    ),
    "server.workers": ("Infrastructures that are changed at once.", "operations"),
    "server.wait_s": ("How long an answer waits for what must be done before it (destroy, stop ...).", "s"),
    "server.most_bytes": ("Largest body of a request.", "bytes"),
    "server.most_machines": ("Machines of all infrastructures that one account owns; 0: no limit.", "machines"),
    "server.most_images": ("Images of machines that one account may make; 0: no limit.", "images"),
    "server.offer_images": ("Let callers see and use the golden images that `im image save` made here.", ""),
    "server.parse_s": ("How long one large template may be read.", "s"),
    "server.fetch_hosts": ("Hosts that templates may import from, as patterns; private addresses never.", ""),
    "server.cloud_hosts": (
        "Hosts that callers' lines for clouds may lead to, as patterns; to private addresses only by a whole name,"
        " an address or a network (`10.1.0.0/16`).",
        "",
    ),
    "server.foreign_playbooks": ("Run playbooks of callers: they can read what this server can.", ""),
    "server.refresh_s": ("How old what a provider said may be when somebody looks.", "s"),
    "server.expire_s": ("How often is looked for infrastructures whose lease has ended; 0: never.", "s"),
    "server.dashboard": ("Serve the dashboard at `/dashboard`.", ""),
    "server.catalogue": ("Folders of templates that the dashboard offers beside ours.", ""),
    "server.oidc.issuer": ("Issuer of the tokens that are taken; empty: none are.", ""),
    "server.oidc.audience": ("Audience that a token must be for.", ""),
    "server.oidc.jwks": ("The issuer's keys: https address or file; empty: asked from the issuer.", ""),
    "server.oidc.groups": ("Groups of which a caller must be in one; none: all may.", ""),
    "server.oidc.groups_claim": ("Claim of the token that holds the groups.", ""),
    "server.oidc.admin_groups": ("Groups whose members see and may change everything.", ""),
    "server.vault.kind": ("`off`, `own` (encrypted in the state) or `hashicorp`.", ""),
    "server.vault.key_file": ("Key of the own vault.", ""),
    "server.vault.url": ("Address of the HashiCorp Vault.", ""),
    "server.vault.path": ("KV mount and path in it; `{sub}` stands for the caller.", ""),
    "server.vault.role": ("Role of Vault's JWT login.", ""),
    "remote.server": ("Address of the server that commands are for; empty: none (flag --server).", ""),
    "remote.auth_file": ("Auth file with the credentials for it and for clouds.", ""),
    "remote.token_file": ("File with a token for it; `IM_TOKEN` in the environment wins.", ""),
    "remote.ca_file": ("Certificates (PEM) that vouch for it; none: those of this computer.", ""),
    "remote.insecure_http": ("Send credentials also without TLS to other computers.", ""),
    "remote.request_s": ("How long one answer may take.", "s"),
    "remote.wait_s": ("How long a change is followed at a server that is not ours.", "s"),
    "remote.poll_s": ("How often such a server is asked how it stands.", "s"),
    "remote.replace": ("Let ours delete machines that cannot be changed as a template says, and make them anew.", ""),
    "providers": ("Provider -> its own settings; see the provider's page.", ""),
    "sites": ("Name of a place -> `provider`, and settings that differ from that provider's own.", ""),
}


def describe() -> tuple[Option, ...]:
    """Return every option with its type, default, environment variable, unit and sentence."""
    return options(Settings, "im", DOCS)


def files(environ: Mapping[str, str], cwd: Path) -> tuple[Path, ...]:
    """Return the settings files from weakest to strongest, whether they exist or not."""
    home = environ.get("XDG_CONFIG_HOME") or str(_home(environ) / ".config")
    return (Path("/etc/im/im.yaml"), Path(home) / "im" / "im.yaml", cwd / "im.yaml")


def load_settings(*, overrides: Mapping[str, object], environ: Mapping[str, str], cwd: Path) -> Loaded[Settings]:
    """Load the settings and fill in the folders that depend on the user.

    Raises:
        Misconfigured: a setting is wrong; the message says where it stands.
    """
    loaded = load(Settings, "im", files=files(environ, cwd), environ=environ, overrides=overrides, docs=DOCS)
    settings = loaded.value
    _refuse_out_of_range(settings, loaded.origins)
    if loaded.origins["state_dir"] == "default":
        settings = replace(settings, state_dir=_default_folder(environ, "/var/lib", "XDG_STATE_HOME", ".local/state"))
    if loaded.origins["cache_dir"] == "default":
        settings = replace(settings, cache_dir=_default_folder(environ, "/var/cache", "XDG_CACHE_HOME", ".cache"))
    server = settings.server
    settings = replace(
        settings,
        server=replace(
            server,
            public_url=_web_address(server.public_url, loaded.origins["server.public_url"]),
            public_ca_file=_file(server.public_ca_file, cwd),
            tls_certificate=_file(server.tls_certificate, cwd),
            tls_key=_file(server.tls_key, cwd),
            catalogue=_absolute(server.catalogue, loaded.origins["server.catalogue"], cwd),
            vault=replace(server.vault, key_file=_file(server.vault.key_file, cwd)),
        ),
    )
    remote = settings.remote
    settings = replace(
        settings,
        remote=replace(
            remote,
            auth_file=_file(remote.auth_file, cwd),
            token_file=_file(remote.token_file, cwd),
            ca_file=_file(remote.ca_file, cwd),
        ),
    )
    ansible = replace(
        settings.ansible,
        roles_path=_absolute(settings.ansible.roles_path, loaded.origins["ansible.roles_path"], cwd),
        collections_path=_absolute(settings.ansible.collections_path, loaded.origins["ansible.collections_path"], cwd),
    )
    settings = replace(
        settings,
        state_dir=(cwd / settings.state_dir).absolute(),
        cache_dir=(cwd / settings.cache_dir).absolute(),
        auth_file=_file(settings.auth_file, cwd),
        database_url_file=_file(settings.database_url_file, cwd),
        ansible=ansible,
    )
    return Loaded(settings, loaded.origins)


_WEB: Final = re.compile(r"https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:(?P<port>[0-9]{1,5}))?(/[A-Za-z0-9._~/-]*)?")


_LEAST: Final[Mapping[str, float]] = {
    "parallel": 1,
    "lock_wait_s": 0,
    "database_connections": 2,
    "lease_s": 1,
    "ansible.forks": 1,
    "ansible.verbosity": 0,
    "ansible.timeout_s": 1,
    "ansible.connect_timeout_s": 1,
    "timeouts.create_s": 1,
    "timeouts.reachable_s": 1,
    "timeouts.stop_s": 1,
    "server.port": 0,
    "server.workers": 1,
    "server.wait_s": 0,
    "server.most_bytes": 1024,
    "server.parse_s": 1,
    "server.refresh_s": 0,
    "server.expire_s": 0,
    "remote.request_s": 1,
    "remote.wait_s": 1,
    "remote.poll_s": 0.05,
}


def _refuse_out_of_range(settings: Settings, origins: Mapping[str, str]) -> None:
    for name, least in _LEAST.items():
        value = attrgetter(name)(settings)
        if not value >= least:  # this way round: .nan is no number of seconds
            raise Misconfigured(
                f"{origins[name]}: {name} is {value:g}, and at least {least:g}", "run: im config show --origin"
            )


def _absolute(folders: tuple[str, ...], origin: str, cwd: Path) -> tuple[str, ...]:
    """Take relative folders from the folder of the settings file that names them, else from `cwd`."""
    file, _, line = origin.rpartition(":")
    base = Path(file).parent if line.isdigit() else cwd
    return tuple(str((base / Path(folder).expanduser()).absolute()) for folder in folders)


def _web_address(text: str, origin: str) -> str:
    """Return an address without its last slash; empty stays empty.

    Raises:
        Misconfigured: it is none that a machine could ask, or holds a password.
    """
    found = _WEB.fullmatch(text)
    if text and (found is None or not 0 < int(found["port"] or 1) < 2**16):
        raise Misconfigured(
            f"{origin}: server.public_url is {text[:200]!r}, and no address of a server",
            "such as https://im.example.org:8800, without a name, a password or a query",
        )
    return text.rstrip("/")


def _file(path: Path, cwd: Path) -> Path:
    """Make the path of a file absolute; none stays none."""
    return path if path == Path() else (cwd / path.expanduser()).absolute()


def _default_folder(environ: Mapping[str, str], of_root: str, variable: str, below_home: str) -> Path:
    if os.geteuid() == 0:
        return Path(of_root) / "im-clues"
    return Path(environ.get(variable) or _home(environ) / below_home) / "im-clues"


def _home(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("HOME") or Path.home())


_FOLDERS: Final[Mapping[str, str]] = {
    "state_dir": "`/var/lib/im-clues` (root), `$XDG_STATE_HOME/im-clues` (others)",
    "cache_dir": "`/var/cache/im-clues` (root), `$XDG_CACHE_HOME/im-clues` (others)",
}


def database_url(settings: Settings) -> Secret:
    """Return the address of the PostgreSQL database, which holds a password; empty: there is none.

    Raises:
        Misconfigured: it is given twice, or its file cannot be read or is open to others.
    """
    path = settings.database_url_file
    if path == Path():
        return Secret(settings.database_url)
    if settings.database_url:
        raise Misconfigured("database_url and database_url_file are both set", "one of them is enough")
    try:
        if path.stat().st_mode & 0o007:
            raise Misconfigured(f"{path} can be read by others, and holds a password", f"run: chmod 600 {path}")
        lines = path.read_text("utf-8").strip().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"cannot read database_url_file {path}: {error}") from error
    if not lines:
        raise Misconfigured(f"database_url_file {path} is empty", "postgresql://USER:PASSWORD@HOST/DATABASE")
    return Secret(lines[0].strip())


def reference() -> str:
    """Return the table of settings for docs/reference/settings.md."""
    lines = ["| setting | type | default | environment | unit | meaning |", "|---|---|---|---|---|---|"]
    for option in describe():
        kind = option.type_name.replace("|", "\\|")
        env = f"`{option.env}`" if option.env else ""
        lines.append(f"| `{option.name}` | {kind} | {_shown_default(option)} | {env} | {option.unit} | {option.doc} |")
    return "\n".join(lines)


def _shown_default(option: Option) -> str:
    if option.name in _FOLDERS:
        return _FOLDERS[option.name]
    match option.default:
        case None | "" | () | Path(parts=()):
            return "none"
        case tuple():
            return ", ".join(f"`{item}`" for item in option.default)
        case bool():
            return "yes" if option.default else "no"
        case float():
            return f"{option.default:g}"
        case _:
            return str(option.default)


if __name__ == "__main__":
    print(reference())  # noqa: T201 - its only output

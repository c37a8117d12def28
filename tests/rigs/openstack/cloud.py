"""A real OpenStack control plane on loopback: started, seeded, handed out, stopped."""

import json
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import yaml

from tests.rigs.openstack import schema, seed
from tests.rigs.openstack.api import Api, Refused, call, login
from tests.rigs.openstack.issuer import VOS, Issuer, issuer
from tests.rigs.openstack.processes import Processes, end_stale
from tests.rigs.openstack.programs import broker, environment, keystone, python, web
from tests.rigs.openstack.settings import NAMES, Places, write
from tests.rigs.process import wait_until

__all__ = ["OpenStack", "openstack"]

_ADMIN_PASSWORD = "loopback-admin"
_PREFIX = "im-openstack-"
_FACTS = "rig.json"
_LAST = ("rabbit", "mysql")


@dataclass(frozen=True)
class OpenStack:
    """One that runs."""

    folder: Path
    auth_url: str
    credential_id: str
    """The application credential of the user demo, in the project demo."""
    credential_secret: str
    issuer_url: str
    """Where access tokens of members of `vos` come from; identity provider egi.eu, protocol openid."""
    vos: Sequence[str] = VOS
    user: str = "demo"
    password: str = seed.PASSWORD

    @property
    def clouds_yaml(self) -> Path:
        """With the clouds demo, small, appcred and admin."""
        return self.folder / "clouds.yaml"

    def api(self, project: str = "demo") -> Api:
        """Log the user demo in, by something else than the client under test; `small` has little quota."""
        return login(self.auth_url, self.user, self.password, project)

    def admin(self) -> Api:
        return login(self.auth_url, "admin", _ADMIN_PASSWORD, "admin")

    def access_token(self, user: str = "alice@egi.eu", *vos: str, life_s: int = 3600) -> str:
        """Return a token of the issuer, for members of these VOs; of the first one where none is named."""
        form = f"grant_type=password&username={user}&vo={','.join(vos) or self.vos[0]}&expires_in={life_s}"
        url = f"{self.issuer_url}/protocol/openid-connect/token"
        answer, _ = call("POST", url, form.encode(), {"Content-Type": "application/x-www-form-urlencoded"})
        return str(answer["access_token"])


@contextmanager
def openstack() -> Iterator[OpenStack]:
    """Run one in a folder of its own, which is gone afterwards; ends those that a killed run has left.

    Where IM_CLUES_OPENSTACK names the folder of one that runs (`python -m tests.rigs.openstack`), it is that one.
    """
    if running := os.environ.get("IM_CLUES_OPENSTACK"):
        yield OpenStack(**{**json.loads((Path(running) / _FACTS).read_text()), "folder": Path(running)})
        return
    for stale in end_stale():
        if stale.name.startswith(_PREFIX):
            shutil.rmtree(stale, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))  # short, for a socket's path has 107 bytes
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        places = Places(folder, dict(zip(NAMES, _free_ports(len(NAMES)), strict=True)))
        (folder / "log").mkdir()
        write(places)
        env = environment(places)
        processes = Processes(folder, env)
        stack.callback(processes.end, *_LAST)
        made = stack.enter_context(issuer(places.ports["issuer"], places.issuer_key))
        yield _start(places, processes, made)


def _start(places: Places, processes: Processes, made: Issuer) -> OpenStack:
    for name in ("keystone", "glance/images", "glance/staging", "glance/tasks", "nova/instances", "neutron"):
        (places.folder / "var" / name).mkdir(parents=True)
    argv, more = broker(places)
    processes.start("rabbit", argv, more)
    schema.start(places, processes, environment(places))
    for word in ("fernet_setup", "credential_setup"):
        processes.run("keystone-setup", _manage(places, word, *_owner()))
    ends = [word for kind in ("public", "internal", "admin") for word in (f"--bootstrap-{kind}-url", places.identity)]
    login_words = ["--bootstrap-password", _ADMIN_PASSWORD, "--bootstrap-region-id", "RegionOne"]
    processes.run("keystone-setup", _manage(places, "bootstrap", *login_words, *ends))
    processes.start("keystone", web(places, "keystone", keystone(), 4))
    for name, script, threads, words in (
        ("placement", "placement-api", 2, ""),
        ("glance", "glance-wsgi-api", 4, ""),
        ("neutron", "neutron-api", 4, ""),
        ("cinder", "cinder-wsgi", 2, f"--config-file {places.conf('cinder')}"),
    ):
        processes.start(name, web(places, name, f"/usr/bin/{script}", threads, words))
    # not by uwsgi, in whose threads the patches that nova makes for eventlet end in deadlocks (seen with 26.2)
    processes.start("nova", python(places, "nova", "nova.cmd.api_os_compute:main"))
    processes.wait_for("keystone", lambda: _listens(places.ports["keystone"]))
    admin = login(places.identity, "admin", _ADMIN_PASSWORD, "admin")
    ids = seed.identity(admin, places)
    processes.wait_for("rabbit", lambda: _listens(places.ports["rabbit"]))
    for name, function in (
        ("nova-conductor", "nova.cmd.conductor:main"),
        ("nova-scheduler", "nova.cmd.scheduler:main"),
        ("nova-compute", "nova.cmd.compute:main"),
        ("cinder-scheduler", "cinder.cmd.scheduler:main"),
        ("cinder-volume", "cinder.cmd.volume:main"),
    ):
        processes.start(name, python(places, name.partition("-")[0], function))
    for name in ("placement", "glance", "neutron", "nova", "cinder"):
        processes.wait_for(name, partial(_listens, places.ports[name]))
    admin = login(places.identity, "admin", _ADMIN_PASSWORD, "admin")  # its catalogue has all services
    demo = login(places.identity, "demo", seed.PASSWORD, "demo")
    seed.rest(admin, demo, ids)
    key = {"name": "rig", "description": "for tests"}
    path = f"/users/{ids['user demo']}/application_credentials"
    credential = demo.make("identity", path, application_credential=key)
    cloud = OpenStack(places.folder, places.identity, credential["id"], credential["secret"], made.url)
    _write_clouds(cloud)
    (cloud.folder / _FACTS).write_text(json.dumps({**asdict(cloud), "folder": str(cloud.folder)}))
    wait_until(lambda: _is_ready(admin), "the services are up", 120)
    return cloud


def _manage(places: Places, *words: str) -> list[str | Path]:
    return python(places, "keystone", "keystone.cmd.manage:main", *words)


def _owner() -> list[str]:
    return ["--keystone-user", str(os.geteuid()), "--keystone-group", str(os.getegid())]


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1):
            return True
    except OSError:
        return False


def _is_ready(admin: Api) -> bool:
    try:
        computing = admin.get("compute", "/os-services")["services"]
        storing = admin.get("volumev3", "/os-services")["services"]
        hosts = admin.get("compute", "/os-hypervisors")["hypervisors"]
        pools = admin.get("volumev3", "/scheduler-stats/get_pools")["pools"]  # told a while after it is up
    except Refused as error:
        if error.status < 500:
            raise
        return False
    up = {service["binary"] for service in (*computing, *storing) if service["state"] == "up"}
    needed = {"nova-compute", "nova-conductor", "nova-scheduler", "cinder-volume", "cinder-scheduler"}
    return bool(hosts) and bool(pools) and needed <= up


def _write_clouds(cloud: OpenStack) -> None:
    def password(user: str, secret: str, project: str) -> dict[str, object]:
        auth = {"auth_url": cloud.auth_url, "username": user, "password": secret, "project_name": project}
        domains = {"user_domain_name": "Default", "project_domain_name": "Default"}
        return {"region_name": "RegionOne", "auth": {**auth, **domains}}

    key = {"application_credential_id": cloud.credential_id, "application_credential_secret": cloud.credential_secret}
    clouds = {
        "demo": password("demo", cloud.password, "demo"),
        "small": password("demo", cloud.password, "small"),
        "admin": password("admin", _ADMIN_PASSWORD, "admin"),
        "appcred": {
            "region_name": "RegionOne",
            "auth_type": "v3applicationcredential",
            "auth": {"auth_url": cloud.auth_url, **key},
        },
    }
    cloud.clouds_yaml.touch(0o600)
    cloud.clouds_yaml.write_text(yaml.safe_dump({"clouds": clouds}))

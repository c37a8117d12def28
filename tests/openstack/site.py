"""An `im` that is set up for a real control plane, and what that has: openstacksdk asks, as the administrator."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import openstack.connection

from tests.e2e.conftest import Im
from tests.rigs.openstack import OpenStack

__all__ = ["Site", "site"]

_LINES = """\
id = rig; type = OpenStack; host = {url}; username = demo; password = {password}; tenant = demo
id = small; type = OpenStack; host = {url}; username = demo; password = {password}; tenant = small
id = wrong; type = OpenStack; host = {url}; username = demo; password = {wrong}; tenant = demo
id = down; type = OpenStack; host = http://127.0.0.1:9; username = demo; password = {password}; tenant = demo
"""
_SETTINGS = """\
auth_file: {auth}
ansible: {{offline: true}}
providers:
  openstack: {{reachable: false, attempts: 3}}
sites:
  named: {{provider: openstack, cloud: demo}}
"""
WRONG = "not-this-one"


@dataclass(frozen=True)
class Site:
    """The command, and whom it is asked of."""

    im: Im
    admin: openstack.connection.Connection
    demo: openstack.connection.Connection
    folder: Path

    def lose_the_state(self) -> None:
        """Forget all that is known, as where the computer is lost."""
        (self.folder / "state").rename(self.folder / "lost")

    def things(self) -> dict[str, set[str]]:
        """Return the names and ids of what there is of each kind, in all projects."""
        here, compute, network = self.admin, self.admin.compute, self.admin.network
        lists = {
            "server": compute.servers(details=False, all_projects=True),
            "volume": here.block_storage.volumes(details=False, all_projects=True),
            "port": network.ports(),
            "floating IP": network.ips(),
            "security group": (group for group in network.security_groups() if group.name != "default"),
            "key pair": self.demo.compute.keypairs(),  # which are a person's: an administrator lists their own
            "network": network.networks(),
            "router": network.routers(),
        }
        return {kind: {f"{one.name} ({one.id})" for one in found} for kind, found in lists.items()}

    def counts(self, before: dict[str, set[str]]) -> dict[str, int]:
        """Count what is there that was not there before."""
        now = {kind: len(found - before[kind]) for kind, found in self.things().items()}
        return {kind: count for kind, count in now.items() if count}


@contextmanager
def site(cloud: OpenStack, folder: Path) -> Iterator[Site]:
    """Set one up in a folder."""
    auth = folder / "auth.dat"
    auth.touch(0o600)
    auth.write_text(_LINES.format(url=cloud.auth_url, password=cloud.password, wrong=WRONG))
    home = folder / "config"
    (home / "im").mkdir(parents=True)
    (home / "im" / "im.yaml").write_text(_SETTINGS.format(auth=auth))
    im = Im(folder / "state")
    im.env |= {
        "XDG_CONFIG_HOME": str(home),
        "IM_CACHE_DIR": str(folder / "cache"),
        "OS_CLIENT_CONFIG_FILE": str(cloud.clouds_yaml),
    }
    clouds = [_connected(cloud, name) for name in ("admin", "demo")]
    yield Site(im, *clouds, folder)
    for one in clouds:
        one.close()


def _connected(cloud: OpenStack, name: str) -> openstack.connection.Connection:
    config = openstack.config.OpenStackConfig(config_files=[str(cloud.clouds_yaml)], load_envvars=False)
    return openstack.connection.Connection(config=config.get_one(cloud=name))

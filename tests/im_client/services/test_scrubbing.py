"""A real machine is scrubbed over ssh, as one at a cloud is: `fake` is the cloud, systemd-nspawn the machine.

What a cloud does when it stops and starts a machine the test does itself, when it is told that it is time for it.
cloud-init's part, making a scrubbed machine a new one, is played by a unit on the machine.
"""

import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from im_client.plan.model import Phase, Spec
from im_client.providers.base import Instance, MachineRequest
from im_client.providers.local.nspawn_provider import NspawnProvider
from im_client.providers.local.settings import LocalSettings, default_state_dir
from im_client.remote.access import Access
from im_client.remote.shell import open_shell
from im_client.remote.wait import wait_reachable
from im_client.services.apply import apply
from im_client.services.context import Context, open_context
from im_client.services.model import DeployRequest
from im_client.services.prepare import prepare_deploy
from im_client.services.reading import show
from im_client.services.saving import SaveRequest, check_save, save_image
from im_client.state.store import NodeRecord, RunState
from infracore.clock import SystemClock
from infracore.errors import Conflict
from infracore.events import Event
from infracore.process import run
from infracore.secrets import Secret
from tests.contracts.harness import new_key_pair

pytestmark = [pytest.mark.machines, pytest.mark.timeout(300)]

_TEMPLATE = """\
tosca_definitions_version: tosca_simple_yaml_1_3
metadata: {template_name: site}
topology_template: {node_templates: {web: {type: tosca.nodes.Compute}}}
"""
_NEW_MACHINE = """
set -e
install -d /usr/local/share/meta-data
cat > /usr/local/share/meta-data/keys
cat > /usr/local/sbin/new-machine <<'END'
#!/bin/sh
ssh-keygen -A
install -d -m 700 /root/.ssh
install -m 600 /usr/local/share/meta-data/keys /root/.ssh/authorized_keys
END
chmod 755 /usr/local/sbin/new-machine
cat > /etc/systemd/system/new-machine.service <<'END'
[Unit]
Before=ssh.service
ConditionPathExists=!/etc/ssh/ssh_host_ed25519_key
[Service]
Type=oneshot
ExecStart=/usr/local/sbin/new-machine
[Install]
WantedBy=ssh.service
END
systemctl enable new-machine.service
cat /usr/local/share/meta-data/keys >> /root/.ssh/authorized_keys
"""
_SECRETS = (
    "etc/munge/munge.key",
    "etc/app/secret.key",
    "home/ada/.ssh/id_ed25519",
    "root/.bash_history",
    "root/.kube/config",
    "var/log/app/app.log",
    "var/lib/rancher/k3s/agent/client.key",
)
_TOOLS = (
    "usr/local/bin/tool",
    "opt/tool/data",
    "etc/app/app.conf",
    "home/ada/work",
    "var/lib/rancher/k3s/agent/images",
)
_IDENTITY = ("etc/machine-id", "etc/ssh/ssh_host_ed25519_key", "root/.ssh/authorized_keys")
_SAVE = """
import json, sys, threading
from pathlib import Path
from im_client.services.context import open_context
from im_client.services.saving import SaveRequest, check_save, save_image
folder, environ, settings = json.load(sys.stdin)
with open_context(environ=environ, cwd=Path(folder), overrides=settings) as ctx:
    plan = check_save(ctx, SaveRequest("site", "web-1", "golden", ("/etc/app/secret.key",)))
    save_image(ctx, plan, listener=lambda _: None, cancel=threading.Event())
"""


def _plant() -> str:
    lines = [f"install -D -m 600 /dev/null /{name}; echo {name} > /{name}" for name in (*_SECRETS, *_TOOLS)]
    # so many that removing them takes a while
    return "; ".join(["mkdir -p /var/log/many", "cd /var/log/many", "seq 30000 | xargs touch", *lines])


@dataclass
class Cloud:
    """A fake cloud with one machine that is real."""

    folder: Path
    local: NspawnProvider
    machine: Instance
    access: Access
    trees: list[dict[str, bool]] = field(default_factory=list)
    """What lay on the machine each time that the cloud stopped it."""

    @property
    def settings(self) -> dict[str, str]:
        hosts = {"web-1": {"address": self.access.address, "port": self.access.port}}
        return {
            "providers.fake.reachable": "yes",
            "providers.fake.injects_host_key": "no",
            "providers.fake.scrubs_images": "no",
            "providers.fake.hosts": str(hosts),
            "timeouts.reachable_s": "60",
        }

    @property
    def environ(self) -> dict[str, str]:
        place = {"IM_STATE_DIR": str(self.folder / "im"), "IM_CACHE_DIR": str(self.folder / "cache")}
        return {**place, "IM_PROVIDER": "fake", "HOME": str(self.folder), "PATH": os.environ["PATH"]}

    @property
    def home(self) -> Path:
        return self.local._records.folder(self.machine.provider_id)

    def has(self, name: str) -> bool:
        """Whether a file is there: in the machine's own layer, or below it and not taken away."""
        try:
            found = (self.home / "upper" / name).lstat()
        except FileNotFoundError:
            base = self.local._records.load(self.machine.provider_id).base
            return any(Path(layer, name).exists() for layer in base.split(":"))
        return not (stat.S_ISCHR(found.st_mode) and found.st_rdev == 0)

    def heard(self, event: Event) -> None:
        """Stop and start the machine where the cloud would have."""
        if event.phase == "save":
            self.local.stop(self.machine.provider_id)
            run(["flock", "--timeout", "40", self.home / "run.lock", "true"], timeout_s=60)
            assert self.local.get(self.machine.provider_id).phase is Phase.STOPPED
            self.trees.append({name: self.has(name) for name in (*_SECRETS, *_TOOLS, *_IDENTITY)})
            self.local.start(self.machine.provider_id)

    def shell(self, command: str, stdin: str = "") -> str:
        with open_shell(self.access) as shell:
            return shell.run(command, timeout_s=60, stdin=stdin).stdout


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    (tmp_path / "t.yaml").write_text(_TEMPLATE)
    settings = LocalSettings(
        kind="nspawn",
        state_dir=str(tmp_path / "local"),
        image_dir=str(default_state_dir() / "images"),
        bridge=f"imcs{os.getpid() % 100000}",
        nat="off",
        apt_proxy="none",
        stop_timeout_s=20.0,
    )
    local = NspawnProvider(settings)
    local.prepare(lambda _text: None)
    keys = new_key_pair()
    request = MachineRequest("cloud", "web-1", "token-1", Spec(num_cpus=1), (keys.public,), new_key_pair().host_key)
    try:
        machine = local.create(request)
        assert machine.access is not None
        access = replace(machine.access, private_key=Secret(keys.private))
        wait_reachable(access, timeout_s=60, clock=SystemClock(), cancel=threading.Event())
        yield Cloud(tmp_path, local, machine, access)
    finally:
        for one in local.list_machines():
            local.delete(one.provider_id)
        assert not Path("/sys/class/net", settings.bridge).exists()


@pytest.fixture
def ctx(cloud: Cloud) -> Iterator[Context]:
    """The infrastructure, whose machine was configured: tools and secrets lie on it."""
    with open_context(environ=cloud.environ, cwd=cloud.folder, overrides=cloud.settings) as context:
        prepared = prepare_deploy(context, DeployRequest("t.yaml"))
        cloud.shell(_NEW_MACHINE.strip(), prepared.infrastructure.ssh_public_key + "\n")
        cloud.shell(_plant())
        report = apply(context, prepared, listener=lambda _: None, cancel=threading.Event())
        assert report.state is RunState.DONE
        yield context


def _save(ctx: Context, heard: Callable[[Event], None]) -> None:
    plan = check_save(ctx, SaveRequest("site", "web-1", "golden", ("/etc/app/secret.key",)))
    save_image(ctx, plan, listener=heard, cancel=threading.Event())


def _node(ctx: Context) -> NodeRecord:
    return show(ctx, "site").nodes[0]


def _shown(cloud: Cloud) -> str:
    return " ".join((cloud.home / "upper/etc/ssh/ssh_host_ed25519_key.pub").read_text().split()[:2])


def test_secrets_and_identity_go_tools_stay_and_the_new_host_key_is_learned(cloud: Cloud, ctx: Context) -> None:
    before = _node(ctx).host_key_public
    assert before == _shown(cloud)
    _save(ctx, cloud.heard)
    (tree,) = cloud.trees
    assert {name for name, is_there in tree.items() if is_there} == set(_TOOLS)
    assert not any((cloud.home / "upper/var/log/many").iterdir())
    node = _node(ctx)
    assert (node.phase, node.host_key_public) == (Phase.CONFIGURED, _shown(cloud))
    assert node.host_key_public != before
    assert [image.name for image in ctx.provider("fake").list_images()] == ["golden"]  # type: ignore[attr-defined]


def test_a_save_that_is_killed_while_files_are_removed_goes_on(cloud: Cloud, ctx: Context) -> None:
    before = _node(ctx).host_key_public
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    with subprocess.Popen(
        [sys.executable, "-c", _SAVE], stdin=subprocess.PIPE, text=True, env=environ, start_new_session=True
    ) as child:
        assert child.stdin is not None
        child.stdin.write(json.dumps([str(cloud.folder), cloud.environ, cloud.settings]))
        child.stdin.close()
        limit, pause = time.monotonic() + 60, threading.Event()
        while cloud.has("etc/munge/munge.key"):
            assert time.monotonic() < limit
            assert child.poll() is None
            pause.wait(0.005)
        os.killpg(child.pid, signal.SIGKILL)
    assert child.returncode == -signal.SIGKILL
    assert _node(ctx).host_key_public is None
    assert list(ctx.provider("fake").list_images()) == []  # type: ignore[attr-defined]

    _save(ctx, cloud.heard)
    anew, saved = cloud.trees
    assert anew["usr/local/bin/tool"]
    assert {name for name, is_there in saved.items() if is_there} == set(_TOOLS)
    node = _node(ctx)
    assert (node.phase, node.host_key_public) == (Phase.CONFIGURED, _shown(cloud))
    assert node.host_key_public != before
    assert [image.name for image in ctx.provider("fake").list_images()] == ["golden"]  # type: ignore[attr-defined]


def test_the_server_of_a_cluster_is_refused_and_nothing_is_removed(cloud: Cloud, ctx: Context) -> None:
    cloud.shell("install -D -m 600 /dev/null /var/lib/rancher/k3s/server/token")
    with pytest.raises(Conflict, match=r"server of a cluster.*k3s/server"):
        _save(ctx, cloud.heard)
    assert all(cloud.has(name) for name in (*_SECRETS, *_TOOLS, *_IDENTITY))
    assert _node(ctx).phase is Phase.CONFIGURED

"""Machines without a public address, and machines that make their own host keys, with real SSH servers."""

import dataclasses
import getpass
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from im_client.remote.hostkeys import new_key_pair
from im_client.remote.shell import open_shell
from im_client.services.apply import apply
from im_client.services.context import Context, open_context
from im_client.services.model import ApplyReport, DeployRequest, Prepared
from im_client.services.prepare import prepare_deploy, prepare_scale
from im_client.services.reading import show, ssh_target
from im_client.state.store import RunState
from infracore.errors import InfraError
from infracore.exitcodes import ExitCode
from infracore.secrets import Secret
from tests.im_client.remote.loopback import Loopback, free_port, serve

TEMPLATE = """\
tosca_definitions_version: tosca_simple_yaml_1_3
metadata: {template_name: hidden}
topology_template:
  node_templates:
    front:
      type: tosca.nodes.Compute
      capabilities: {scalable: {properties: {min_instances: 0, max_instances: 2, default_instances: 1}}}
    wn:
      type: tosca.nodes.Compute
      capabilities: {scalable: {properties: {min_instances: 0, max_instances: 2, default_instances: 1}}}
    outside: {type: tosca.nodes.network.Network, properties: {network_name: PUBLIC}}
    inside: {type: tosca.nodes.network.Network, properties: {network_name: PRIVATE}}
    front_port: {type: tosca.nodes.network.Port, requirements: [{binding: front}, {link: outside}]}
    wn_port: {type: tosca.nodes.network.Port, requirements: [{binding: wn}, {link: inside}]}
"""


@dataclass
class World:
    """Servers that stand for the machines front-1, public, and wn-1, which is not."""

    folder: Path
    stack: ExitStack
    ports: dict[str, int] = field(default_factory=lambda: {"front-1": free_port(), "wn-1": free_port()})
    keys: dict[str, tuple[str, Secret]] = field(
        default_factory=lambda: {"front-1": new_key_pair(), "wn-1": new_key_pair()}
    )
    consoles: dict[str, str] = field(default_factory=dict)

    def context(self, **more: str) -> Context:
        hosts = {
            name: {
                "address": "127.0.0.1" if name == "front-1" else "127.0.0.2",
                "port": port,
                "user": getpass.getuser(),
                "public": name == "front-1",
                "console": self.consoles.get(name, ""),
            }
            for name, port in self.ports.items()
        }
        settings: dict[str, Any] = {
            "providers.fake.reachable": "yes",
            "providers.fake.direct": "no",
            "providers.fake.injects_host_key": "no",
            "providers.fake.hosts": str(hosts),
            "timeouts.reachable_s": "15",
            **{name.replace("__", "."): value for name, value in more.items()},
        }
        environ = {"IM_STATE_DIR": str(self.folder / "state"), "IM_PROVIDER": "fake", "HOME": str(self.folder)}
        return self.stack.enter_context(open_context(environ=environ, cwd=self.folder, overrides=settings))

    def start(self, key: str, *names: str) -> Mapping[str, Loopback]:
        """Start the servers of machines, to which a key may log in."""
        started = {}
        for name in names or self.ports:
            address = "127.0.0.1" if name == "front-1" else "127.0.0.2"
            started[name] = serve(
                self.folder / name, host_key=self.keys[name], port=self.ports[name], address=address, key=key
            )
            self.stack.callback(started[name].stop)
        return started


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    (tmp_path / "t.yaml").write_text(TEMPLATE)
    with ExitStack() as stack:
        yield World(tmp_path, stack)


def do(ctx: Context, prepared: Prepared) -> ApplyReport:
    return apply(ctx, prepared, listener=lambda _: None, cancel=threading.Event())


def plan(ctx: Context) -> Prepared:
    return prepare_deploy(ctx, DeployRequest("t.yaml"))


def errors(report: ApplyReport) -> dict[str, str]:
    return {node.name: node.error for node in report.nodes if not node.ok}


def console_of(public: str) -> str:
    words = ("[   12.3] cloud-init[611]: ", "\r\n")
    lines = ("-----BEGIN SSH HOST KEY KEYS-----", f"{public} root@wn-1", "-----END SSH HOST KEY KEYS-----")
    return "".join(f"{words[0]}{line}{words[1]}" for line in lines)


def test_a_plan_without_a_way_in_is_refused_and_nothing_is_made(world: World) -> None:
    text = TEMPLATE.replace("network_name: PUBLIC", "network_name: PRIVATE")
    (world.folder / "t.yaml").write_text(text)
    ctx = world.context()
    with pytest.raises(
        InfraError, match="wn has no public address, and no machine of this infrastructure at fake"
    ) as caught:
        plan(ctx)
    assert caught.value.exit_code is ExitCode.INVALID
    assert ctx.store.infrastructures() == ()
    assert plan(world.context(providers__fake__direct="yes")).plan.steps
    assert plan(world.context(providers__fake__reachable="no")).plan.steps


@pytest.mark.sshd
def test_the_first_is_waited_for_and_leads_to_the_others_whose_keys_are_learned(world: World) -> None:
    ctx = world.context()
    prepared = plan(ctx)
    world.start(prepared.infrastructure.ssh_public_key)
    report = do(ctx, prepared)
    assert (report.state, errors(report)) == (RunState.DONE, {})
    nodes = {node.name: node for node in show(ctx, "hidden").nodes}
    assert {name: node.host_key_public for name, node in nodes.items()} == {n: k[0] for n, k in world.keys.items()}
    assert all(node.host_key_private is None for node in nodes.values())
    target = ssh_target(ctx, "hidden", "wn-1")
    assert target.access.jump is not None
    assert target.access.jump.port == world.ports["front-1"]
    with open_shell(target.access) as shell:
        assert shell.run("echo $SSH_CONNECTION", timeout_s=20).stdout.split()[3] == str(world.ports["wn-1"])
    assert plan(ctx).plan.is_empty


@pytest.mark.sshd
def test_nothing_but_the_machine_with_the_public_address_leads_to_a_hidden_one(world: World) -> None:
    ctx = world.context(timeouts__reachable_s="1")
    prepared = plan(ctx)
    world.start(prepared.infrastructure.ssh_public_key, "wn-1")  # it runs, and nothing leads to it
    said = errors(do(ctx, prepared))
    assert set(said) == {"front-1", "wn-1"}
    assert "no machine at fake that has one leads to it" in said["wn-1"]
    ctx = world.context()
    world.start(prepared.infrastructure.ssh_public_key, "front-1")
    assert do(ctx, plan(ctx)).state is RunState.DONE


@pytest.mark.sshd
def test_a_key_that_the_console_told_is_the_one_that_must_be_shown(world: World) -> None:
    world.consoles["wn-1"] = console_of(world.keys["wn-1"][0])
    ctx = world.context()
    prepared = plan(ctx)
    world.start(prepared.infrastructure.ssh_public_key)
    assert do(ctx, prepared).state is RunState.DONE


@pytest.mark.sshd
def test_a_machine_that_shows_another_key_than_its_console_told_is_refused(world: World) -> None:
    world.consoles["wn-1"] = console_of(new_key_pair()[0])
    ctx = world.context()
    prepared = plan(ctx)
    world.start(prepared.infrastructure.ssh_public_key)
    said = errors(do(ctx, prepared))
    assert set(said) == {"wn-1"}
    assert "another SSH host key than its console told" in said["wn-1"]
    assert {node.name: node.host_key_public for node in show(ctx, "hidden").nodes}["wn-1"] is None


@pytest.mark.sshd
def test_a_key_that_was_learned_is_asked_for_ever_after(world: World) -> None:
    ctx = world.context()
    prepared = plan(ctx)
    running = world.start(prepared.infrastructure.ssh_public_key)
    do(ctx, prepared)
    running["front-1"].stop()
    world.keys["front-1"] = new_key_pair()
    world.start(prepared.infrastructure.ssh_public_key, "front-1")
    node = next(node for node in show(ctx, "hidden").nodes if node.name == "front-1")
    ctx.store.put_node(dataclasses.replace(node, configured_digest=None))
    said = errors(do(ctx, dataclasses.replace(prepare_scale(ctx, "hidden", {"wn": 1}), plan=_started(ctx, "front-1"))))
    assert "host key" in said["front-1"]


def _started(ctx: Context, name: str) -> Any:
    """Return a plan that waits for a machine again."""
    from im_client.plan.model import Action, Plan, Reason, ReasonCode, Step

    record = ctx.store.infrastructure("hidden")
    step = Step(f"reboot:{name}", Action.REBOOT, name, "front", 1, Reason(ReasonCode.ASKED, "asked for"))
    return Plan(record.id, record.revision, (step,))

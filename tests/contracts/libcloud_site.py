"""The harness of all clouds behind libcloud: what they can do is the same."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from im_client.auth.credentials import Credential
from im_client.plan.model import Spec
from im_client.providers.base import Instance, Provider
from im_client.providers.registry import provider
from infracore.secrets import Secret
from tests.contracts.harness import new_key_pair
from tests.rigs.small_clouds import Azure, CloudStack, DigitalOcean, Gce, Linode, SmallApi, Vultr, serving
from tests.rigs.small_clouds.azure import CLIENT, SUBSCRIPTION, TENANT
from tests.rigs.small_clouds.cloudstack import API_KEY
from tests.rigs.small_clouds.gce import ACCOUNT
from tests.rigs.small_clouds.server import TOKEN

__all__ = ["CLOUDS", "LibcloudHarness", "credential", "opened", "settings"]

CLOUDS: Mapping[str, tuple[type[SmallApi], str]] = {
    "azure": (Azure, "westeurope"),
    "cloudstack": (CloudStack, "geneva"),
    "digitalocean": (DigitalOcean, "fra1"),
    "gce": (Gce, "europe-west1-b"),
    "linode": (Linode, "eu-central"),
    "vultr": (Vultr, "fra"),
}
"""Provider -> its imitation and a region of it."""

_CREATE = """
import json, sys
from im_client.auth.credentials import Credential
from im_client.plan.model import Spec
from im_client.providers.base import MachineRequest
from im_client.providers.registry import provider
from infracore.secrets import Secret
kind, settings, fields, name, token, key = json.load(sys.stdin)
line = Credential("", kind, {k: Secret(v) for k, v in fields.items()})
opened = provider(kind, settings, (line,))
opened.prepare(lambda _: None)
print("go", flush=True)
spec = Spec(num_cpus=1, os_distribution="debian")
opened.create(MachineRequest("contract", name, token, spec, authorized_keys=(key,)))
"""
_KILL_AFTER_S = (0.0, 0.02, 0.5)


def fields(cloud: SmallApi) -> dict[str, str]:
    """Return the line of an auth file for an imitation."""
    if isinstance(cloud, Azure):
        return {"subscription_id": SUBSCRIPTION, "tenant": TENANT, "client_id": CLIENT, "secret": TOKEN}
    if isinstance(cloud, CloudStack):
        return {"host": cloud.url, "username": API_KEY, "password": TOKEN}
    if isinstance(cloud, Gce):
        return {"username": ACCOUNT, "password": cloud.pem.replace("\n", "\\n"), "project": "physics"}
    return {"token": TOKEN}


def credential(kind: str, cloud: SmallApi, **other: str) -> Credential:
    """Return the line with other words."""
    return Credential(kind, kind, {key: Secret(value) for key, value in {**fields(cloud), **other}.items()})


def settings(kind: str, cloud: SmallApi, **other: Any) -> dict[str, Any]:
    """Return settings that lead to an imitation."""
    return {"region": CLOUDS[kind][1], "address": cloud.url, "reachable": False, "request_s": 5.0, **other}


class LibcloudHarness:
    """See `Harness`."""

    can_stop = True
    can_reboot = True
    injects_host_key = False
    brings_keys = False
    has_addresses = True
    has_ssh = False
    concurrent = 4
    settle_s = 20.0

    def __init__(self, kind: str, cloud: SmallApi) -> None:
        self.name = kind
        self.cloud = cloud
        self.has_addresses = kind != "vultr"  # which has public ones only

    def provider(self) -> Provider:
        return provider(self.name, settings(self.name, self.cloud), (credential(self.name, self.cloud),))

    def spec(self) -> Spec:
        return Spec(num_cpus=1, mem_bytes=2**29, os_distribution="debian")

    def names(self, count: int) -> list[str]:
        return [f"wn-{number}" for number in range(1, count + 1)]

    def unsupported(self) -> Spec | None:
        return Spec(num_cpus=1, os_distribution="debian", ports=("tcp/80>8080",))

    def kill_during_create(self, instance_name: str, token: str) -> Iterator[None] | None:
        if self.name != "digitalocean":  # a start costs seconds; test_faults.py loses the answers of all
            return None
        own = settings(self.name, self.cloud)
        words = [self.name, own, fields(self.cloud), instance_name, token, new_key_pair().public]

        def kills() -> Iterator[None]:
            for after_s in _KILL_AFTER_S:
                pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
                with subprocess.Popen([sys.executable, "-c", _CREATE], **pipes) as process:  # type: ignore[call-overload]
                    process.stdin.write(json.dumps(words))
                    process.stdin.close()
                    assert process.stdout.readline() == "go\n"
                    try:
                        process.wait(after_s)
                    except subprocess.TimeoutExpired:
                        process.send_signal(signal.SIGKILL)
                yield

        return kills()

    def shown_host_key(self, instance: Instance) -> str | None:
        return None


@contextmanager
def opened(kind: str) -> Iterator[LibcloudHarness]:
    """Run an imitation; what is left of the suite is an error."""
    with serving(CLOUDS[kind][0]()) as cloud:
        harness = LibcloudHarness(kind, cloud)
        yield harness
        last = harness.provider()
        assert last.release("contract") == []  # type: ignore[attr-defined]
        assert list(last.things()) == []  # type: ignore[attr-defined]
        assert not cloud.keys
        assert not getattr(cloud, "walls", None)
        assert not getattr(cloud, "tags", None)
        last.close()

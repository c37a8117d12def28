"""The OpenStack provider on a real control plane (tests/rigs/openstack), whose machines cannot be logged in to."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from im_client.auth.credentials import Credential
from im_client.plan.model import Spec
from im_client.providers.base import Instance, Provider
from im_client.providers.openstack import open_provider
from infracore.secrets import Secret
from tests.contracts.harness import new_key_pair
from tests.rigs.openstack import OpenStack

MARKERS = ("openstack",)
FIXTURE = "openstack"
_CREATE = """
import json, sys
from im_client.auth.credentials import Credential
from im_client.plan.model import Spec
from im_client.providers.base import MachineRequest
from im_client.providers.openstack import open_provider
from infracore.secrets import Secret
fields, name, token, key = json.load(sys.stdin), *sys.argv[1:]
provider = open_provider({}, (Credential("", "OpenStack", {k: Secret(v) for k, v in fields.items()}),))
spec = Spec(num_cpus=1, os_distribution="debian")
provider.quotas()
print("go", flush=True)
provider.create(MachineRequest("contract", name, token, spec, authorized_keys=(key,)))
"""
_KILL_AFTER_S = (0.0, 0.1, 0.2, 0.4, 0.8, 1.5)


class OpenStackHarness:
    """See `Harness`."""

    name = "openstack"
    can_stop = True
    can_reboot = True
    injects_host_key = False
    brings_keys = False
    has_addresses = True
    has_ssh = False
    concurrent = 4
    settle_s = 60.0

    def __init__(self, cloud: OpenStack) -> None:
        self._fields = {
            "host": cloud.auth_url.removesuffix("/v3"),
            "username": cloud.user,
            "password": cloud.password,
            "tenant": "demo",
        }

    def provider(self) -> Provider:
        return self.opened({})

    def opened(self, settings: Mapping[str, Any]) -> Provider:
        fields = {key: Secret(value) for key, value in self._fields.items()}
        return open_provider({"reachable": False, **settings}, (Credential("", "OpenStack", fields),))

    def spec(self) -> Spec:
        return Spec(num_cpus=1, mem_bytes=2**28, os_distribution="debian")

    def names(self, count: int) -> list[str]:
        return [f"wn-{number}" for number in range(1, count + 1)]

    def unsupported(self) -> Spec | None:
        return Spec(num_cpus=1, os_distribution="debian", ports=("tcp/80>8080",))

    def kill_during_create(self, instance_name: str, token: str) -> Iterator[None] | None:
        def kills() -> Iterator[None]:
            for after_s in _KILL_AFTER_S:
                words = [sys.executable, "-c", _CREATE, instance_name, token, new_key_pair().public]
                pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
                with subprocess.Popen(words, **pipes) as process:  # type: ignore[call-overload]
                    process.stdin.write(json.dumps(self._fields))
                    process.stdin.close()
                    process.stdout.readline()
                    try:
                        process.wait(after_s)
                    except subprocess.TimeoutExpired:
                        process.send_signal(signal.SIGKILL)
                yield

        return kills()

    def shown_host_key(self, instance: Instance) -> str | None:
        return None


@contextmanager
def harness(folder: Path, cloud: OpenStack) -> Iterator[OpenStackHarness]:
    """Open the harness; nothing of the suite is left behind."""
    opened = OpenStackHarness(cloud)
    yield opened
    provider = opened.provider()
    assert provider.release("contract") == []  # type: ignore[attr-defined]
    assert list(provider.things("contract")) == []  # type: ignore[attr-defined]
    provider.close()

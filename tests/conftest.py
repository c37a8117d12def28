"""What holds for all tests: how laws are tried, and which tests share a process when several run side by side.

Tests that boot machines or start servers wait most of the time, and those of one sort must not disturb each other:
they stay in one process in their order. All others go wherever there is time.
"""

import hypothesis
import pytest

from tests.controlplane import choice
from tests.laws import some

pytest_plugins = ["tests.rigs.openstack.plugin"]

# nothing here judges how quick this machine is
hypothesis.settings.register_profile(
    "im-clues", deadline=None, max_examples=some(100), suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("im-clues")

_GROUPS = {
    "servers": ("browser", "controlplane", "im_server", "im_client", "schemathesis", "slurm", "postgres", "openstack"),
    "machines": (
        "machines",
        "vm",
        "libvirt",
        "pi",
        "ansible",
        "sshd",
        "ipmi",
        "redfish",
        "snmp",
        "netns",
        "loop",
        "install",
    ),
}


def pytest_report_header() -> str:
    return choice.header()


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("xdist_group"):
            continue
        for group, markers in _GROUPS.items():
            if any(item.get_closest_marker(marker) for marker in markers):
                item.add_marker(pytest.mark.xdist_group(group))
                break

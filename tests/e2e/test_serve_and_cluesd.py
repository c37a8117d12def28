"""cluesd's power driver `im` orders machines from our own server, with a token that can do nothing but scale."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from clues.options import Pool
from clues.power.base import Order, PowerState
from clues.power.registry import load_drivers
from im_client.state.server import Role
from tests.im_client.api.templates import RADL, tosca
from tests.rigs.im_serve import Client, Serve, im_serve
from tests.rigs.process import wait_until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    with im_serve(tmp_path_factory.mktemp("serve")) as running:
        running.user("ana")
        yield running


@pytest.mark.parametrize(
    ("template", "kind", "language"),
    [
        (tosca(0), "text/yaml", "radl"),
        (tosca(0), "text/yaml", "tosca"),
        (RADL.replace("deploy worker 1", "deploy worker 0"), "text/plain", "radl"),
    ],
    ids=["TOSCA, by RADL", "TOSCA, by TOSCA", "RADL"],
)
def test_workers_come_and_go_as_cluesd_orders(
    server: Serve, tmp_path: Path, template: str, kind: str, language: str
) -> None:
    ana = Client(server.url, server.token("ana").auth)
    infra = ana.create(template, kind)
    ident = infra.rsplit("/", 1)[1]
    token = server.token("ana", Role.SCALER, ident).auth.removeprefix("Bearer ")
    auth = tmp_path / "auth"
    auth.touch(0o600)
    auth.write_text(f"type = InfrastructureManager; token = {token}\n")
    settings = {
        "type": "im",
        "url": server.url,
        "infrastructure": ident,
        "auth": {"file": str(auth)},
        "state_file": str(tmp_path / "book.json"),
        "groups": {"p": "worker"},
        "language": language,
    }
    driver = load_drivers({"d": settings}, [Pool("p", driver="d")])["d"]
    try:
        assert driver.check() == ()
        receipts = driver.on([Order("one", "p"), Order("two", "p")])
        assert len({receipt.machine for receipt in receipts}) == 2
        again = driver.on([Order("one", "p")])
        assert again[0].machine == receipts[0].machine
        wait_until(lambda: [m.state for m in driver.list("p")] == [PowerState.ON] * 2, "both are on")
        found = driver.list("p")
        assert [machine.node for machine in found] == ["worker-1", "worker-2"]
        assert all(machine.facts["net_interface.0.ip"].startswith("198.1") for machine in found)
        driver.off("p", [found[0].machine], token="three")
        wait_until(lambda: [m.node for m in driver.list("p")] == ["worker-2"], "one is gone")
    finally:
        driver.close()
    assert len(ana.vms(infra)) == 2

"""What the fake adds to the contract: faults, delays, a world that outlives the process, a record of calls."""

from pathlib import Path

import pytest

from im_client.plan.model import Limits, Phase, Spec, SpecInterface
from im_client.providers.base import MachineRequest
from im_client.providers.fake import Call, FakeProvider, FakeSettings, Fault, open_provider
from im_client.remote.access import HostKey
from infracore.clock import FakeClock
from infracore.errors import Conflict, Misconfigured, NoCapacity, NotFound, Transient, Unauthorised
from infracore.secrets import Secret


def request(name: str = "wn-1", **spec: object) -> MachineRequest:
    key = HostKey("ssh-ed25519 AAAA", Secret("private half"))
    return MachineRequest("inf", name, f"token-{name}", Spec(**spec), host_key=key)  # type: ignore[arg-type]


@pytest.fixture(params=["memory", "folder"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "world") if request.param == "folder" else ""


def test_a_fault_strikes_as_often_as_it_says_and_only_whom_it_names(world: str) -> None:
    faults = (Fault("create", "NoCapacity", node="wn-[23]", times=2), Fault("delete", "Unauthorised"))
    provider = FakeProvider(FakeSettings(state_dir=world, faults=faults))
    made = provider.create(request("wn-1"))
    for name in ("wn-2", "wn-3"):
        with pytest.raises(NoCapacity):
            provider.create(request(name))
    assert provider.create(request("wn-2")).phase is Phase.RUNNING
    with pytest.raises(Unauthorised):
        provider.delete(made.provider_id)
    provider.delete(made.provider_id)
    assert [m.name for m in provider.list_machines("inf")] == ["wn-2"]


def test_faults_are_counted_over_processes_of_one_world(tmp_path: Path) -> None:
    settings = FakeSettings(state_dir=str(tmp_path), faults=(Fault("list", "Transient"),))
    with pytest.raises(Transient):
        FakeProvider(settings).list_machines()
    assert FakeProvider(settings).list_machines() == []


def test_a_machine_may_be_made_although_create_fails(world: str) -> None:
    provider = FakeProvider(FakeSettings(state_dir=world, faults=(Fault("create", made=True),)))
    with pytest.raises(Transient):
        provider.create(request())
    (orphan,) = provider.list_machines("inf")
    assert provider.create(request()).provider_id == orphan.provider_id


def test_a_machine_may_fail_to_boot_and_says_why(world: str) -> None:
    provider = FakeProvider(FakeSettings(state_dir=world, faults=(Fault("boot", "CommandFailed", node="wn-1"),)))
    failed, well = provider.create(request("wn-1")), provider.create(request("wn-2"))
    assert (failed.phase, failed.fault) == (Phase.FAILED, "a scripted fault of boot of wn-1")
    assert "scripted" in provider.console(failed.provider_id)
    assert well.phase is Phase.RUNNING


def test_a_machine_boots_for_as_long_as_it_was_told(world: str) -> None:
    clock = FakeClock()
    provider = FakeProvider(FakeSettings(state_dir=world, delay_s={"boot": 30.0, "create": 5.0}), clock)
    before = clock.now()
    made = provider.create(request())
    assert clock.now() == before + 5.0
    assert made.phase is Phase.PENDING
    clock.advance(30.0)
    assert provider.get(made.provider_id).phase is Phase.RUNNING
    provider.reboot(made.provider_id)
    assert provider.get(made.provider_id).phase is Phase.PENDING


def test_what_is_changed_is_what_is_reported_and_the_image_stays(world: str) -> None:
    provider = FakeProvider(FakeSettings(state_dir=world))
    made = provider.create(request(num_cpus=1, mem_bytes=2**30, image="debian"))
    provider.resize(made.provider_id, Spec(num_cpus=4, image="ubuntu"))
    assert provider.get(made.provider_id).spec == {"num_cpus": 4, "mem_bytes": 2**30, "image": "debian"}


def test_addresses_are_distinct_over_thousands_and_public_where_a_network_is() -> None:
    provider = FakeProvider()
    made = [provider.create(request(f"wn-{n}", interfaces=(SpecInterface("net", public=True),))) for n in range(3000)]
    assert len({m.private_address for m in made} | {m.public_address for m in made}) == 6000
    assert (made[0].private_address, made[-1].public_address) == ("198.18.0.1", "198.19.11.184")
    assert provider.create(request("front")).public_address is None


def test_access_has_the_account_of_the_image_and_the_host_key_but_the_world_no_secret(tmp_path: Path) -> None:
    provider = FakeProvider(FakeSettings(state_dir=str(tmp_path)))
    access = provider.create(request(user="debian")).access
    assert access is not None
    assert (access.user, access.become, access.host_key) == ("debian", True, "ssh-ed25519 AAAA")
    assert all(b"private half" not in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_every_call_is_noted() -> None:
    provider = FakeProvider()
    made = provider.create(request())
    provider.stop(made.provider_id)
    provider.delete(made.provider_id)
    assert provider.calls == [Call("create", "wn-1"), Call("stop", "wn-1"), Call("delete", "wn-1")]


def test_a_stopped_machine_is_not_rebooted(world: str) -> None:
    provider = FakeProvider(FakeSettings(state_dir=world))
    made = provider.create(request())
    provider.stop(made.provider_id)
    with pytest.raises(Conflict):
        provider.reboot(made.provider_id)


def test_an_id_is_never_taken_for_a_path(tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_text("{}")
    provider = FakeProvider(FakeSettings(state_dir=str(tmp_path / "world")))
    provider.delete("fake-../../secret")
    with pytest.raises(NotFound):
        provider.get("../../secret")
    assert (tmp_path / "secret.json").exists()


def test_limits_are_those_of_the_settings() -> None:
    provider = open_provider(
        {"in_place": ["image"], "in_place_stopped": [], "unsupported": ["num_gpus"], "reachable": True}
    )
    assert provider.limits() == Limits("fake", frozenset({"image"}), frozenset(), unsupported=frozenset({"num_gpus"}))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"speed": 1}, "unknown field `speed`"),
        ({"faults": [{"op": "explode"}]}, r"faults\[0\]\.op"),
        ({"faults": [{"op": "create", "error": "Boom"}]}, "knows no error Boom"),
        ({"delay_s": {"create": "soon"}}, "delay_s"),
    ],
)
def test_a_wrong_setting_is_named(settings: dict[str, object], message: str) -> None:
    with pytest.raises(Misconfigured, match=message):
        open_provider(settings)


def test_a_damaged_machine_is_reported_not_lost(tmp_path: Path) -> None:
    provider = FakeProvider(FakeSettings(state_dir=str(tmp_path)))
    made = provider.create(request())
    (tmp_path / "machines" / f"{made.provider_id}.json").write_text('{"id": 3')
    with pytest.raises(Misconfigured, match="is damaged"):
        provider.list_machines()

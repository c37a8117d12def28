"""The contract of `im_client/providers/base.py`, clause by clause."""

import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from im_client.plan.model import Phase
from im_client.providers.base import Instance, MachineRequest, Provider
from im_client.providers.images import ImageKeeper, ImageRequest
from im_client.providers.quotas import Quotas
from im_client.providers.things import Keeps
from infracore.errors import Conflict, NotFound, Unsupported
from infracore.ids import new_token
from tests.contracts.harness import Harness, new_key_pair

INFRASTRUCTURE = "contract"
_AGAIN_S = 10.0
"""A machine that is back by then was deleted and has come again: im_original may do that."""
_TELL_AGES = {"azure", "cloudstack", "digitalocean", "ec2", "fake", "gce", "linode", "openstack", "vultr"}


@pytest.fixture
def provider(harness: Harness) -> Iterator[Provider]:
    """A provider without machines, before and after."""
    opened = harness.provider()
    _empty(harness, opened)  # the original Infrastructure Manager may have a deleted machine again
    yield opened
    _empty(harness, opened)
    opened.close()


def _empty(harness: Harness, provider: Provider) -> None:
    deleted: dict[str, float] = {}

    def is_empty() -> bool:
        left = provider.list_machines(INFRASTRUCTURE)
        for machine in left:
            if time.monotonic() > deleted.get(machine.provider_id, 0) + _AGAIN_S:
                provider.delete(machine.provider_id)
                deleted[machine.provider_id] = time.monotonic()
        return not left

    _until(harness, is_empty, "the machines are gone")


def _request(harness: Harness, name: str, token: str | None = None) -> MachineRequest:
    return MachineRequest(
        infrastructure=INFRASTRUCTURE,
        name=name,
        token=token or new_token(),
        spec=harness.spec(),
        authorized_keys=(new_key_pair().public,),
        host_key=new_key_pair().host_key,
    )


def _until(harness: Harness, is_so: Callable[[], bool], what: str) -> None:
    """Poll, as the engine does; a clock's time limit is the failure, not a measurement."""
    limit = time.monotonic() + harness.settle_s
    pause = threading.Event()
    while not is_so():
        assert time.monotonic() < limit, f"not within {harness.settle_s:g} s: {what}"
        pause.wait(0.02)


def _reach(harness: Harness, provider: Provider, machine: Instance, phase: Phase) -> Instance:
    _until(harness, lambda: provider.get(machine.provider_id).phase is phase, f"{machine.name} is {phase}")
    return provider.get(machine.provider_id)


def test_a_created_machine_is_pending_or_running_and_carries_its_token(harness: Harness, provider: Provider) -> None:
    request = _request(harness, harness.names(1)[0])
    made = provider.create(request)
    assert made.phase in (Phase.PENDING, Phase.RUNNING)
    assert (made.token, made.name, made.infrastructure) == (request.token, request.name, INFRASTRUCTURE)


def test_a_created_machine_comes_to_run_with_address_and_access(harness: Harness, provider: Provider) -> None:
    machine = _reach(harness, provider, provider.create(_request(harness, harness.names(1)[0])), Phase.RUNNING)
    assert machine.private_address or machine.public_address
    assert machine.access is not None
    assert machine.access.private_key is None or harness.brings_keys


def test_a_machine_says_when_it_was_made(harness: Harness, provider: Provider) -> None:
    made = provider.create(_request(harness, harness.names(1)[0]))
    (machine,) = provider.list_machines(INFRASTRUCTURE)
    assert machine.provider_id == made.provider_id
    if harness.name in _TELL_AGES:
        assert machine.created_at is not None
    assert machine.created_at is None or abs(machine.created_at - time.time()) < 600


def test_the_same_token_gives_the_same_machine(harness: Harness, provider: Provider) -> None:
    request = _request(harness, harness.names(1)[0])
    assert provider.create(request).provider_id == provider.create(request).provider_id
    assert len(provider.list_machines(INFRASTRUCTURE)) == 1


def test_another_process_finds_the_machine_by_its_token(harness: Harness, provider: Provider) -> None:
    request = _request(harness, harness.names(1)[0])
    made = provider.create(request)
    found = harness.provider().list_machines(INFRASTRUCTURE)
    assert [(machine.provider_id, machine.token) for machine in found] == [(made.provider_id, request.token)]


def test_machines_are_listed_by_infrastructure(harness: Harness, provider: Provider) -> None:
    provider.create(_request(harness, harness.names(1)[0]))
    assert list(provider.list_machines("another")) == []
    assert {machine.infrastructure for machine in provider.list_machines()} == {INFRASTRUCTURE}


def test_the_absent_is_not_found_and_deleting_it_succeeds(harness: Harness, provider: Provider) -> None:
    made = provider.create(_request(harness, harness.names(1)[0]))
    provider.delete(made.provider_id)
    provider.delete(made.provider_id)
    _until(harness, lambda: not provider.list_machines(INFRASTRUCTURE), "the machine is gone")
    with pytest.raises(NotFound):
        provider.get(made.provider_id)


def test_a_machine_stops_and_starts_with_the_same_address_and_repeating_changes_nothing(
    harness: Harness, provider: Provider
) -> None:
    if not harness.can_stop:
        pytest.skip(f"{harness.name} machines do not stop")
    machine = _reach(harness, provider, provider.create(_request(harness, harness.names(1)[0])), Phase.RUNNING)
    provider.start(machine.provider_id)
    provider.stop(machine.provider_id)
    provider.stop(machine.provider_id)
    _reach(harness, provider, machine, Phase.STOPPED)
    provider.stop(machine.provider_id)
    provider.start(machine.provider_id)
    again = _reach(harness, provider, machine, Phase.RUNNING)
    assert (again.private_address, again.public_address) == (machine.private_address, machine.public_address)


def test_a_stopped_machine_can_be_deleted(harness: Harness, provider: Provider) -> None:
    if not harness.can_stop:
        pytest.skip(f"{harness.name} machines do not stop")
    machine = _reach(harness, provider, provider.create(_request(harness, harness.names(1)[0])), Phase.RUNNING)
    provider.stop(machine.provider_id)
    _reach(harness, provider, machine, Phase.STOPPED)
    provider.delete(machine.provider_id)
    _until(harness, lambda: not provider.list_machines(INFRASTRUCTURE), "the machine is gone")


def test_a_rebooted_machine_runs_again(harness: Harness, provider: Provider) -> None:
    if not harness.can_reboot:
        pytest.skip(f"{harness.name} machines do not reboot")
    machine = _reach(harness, provider, provider.create(_request(harness, harness.names(1)[0])), Phase.RUNNING)
    if harness.has_ssh:
        _until(harness, lambda: harness.shown_host_key(machine) is not None, "ssh answers")
    provider.reboot(machine.provider_id)
    _reach(harness, provider, machine, Phase.RUNNING)
    if harness.has_ssh:
        _until(harness, lambda: harness.shown_host_key(machine) is not None, "ssh answers again")


def test_the_host_key_that_was_put_in_is_the_one_shown(harness: Harness, provider: Provider) -> None:
    if not (harness.injects_host_key and harness.has_ssh):
        pytest.skip(f"{harness.name} does not put a host key in")
    request = _request(harness, harness.names(1)[0])
    machine = _reach(harness, provider, provider.create(request), Phase.RUNNING)
    assert request.host_key is not None
    assert machine.access is not None
    assert machine.access.host_key == request.host_key.public
    shown: list[str] = []

    def answers() -> bool:
        key = harness.shown_host_key(machine)
        shown.extend([key] if key is not None else [])
        return key is not None

    _until(harness, answers, "ssh answers")
    assert shown == [request.host_key.public]


def test_machines_asked_for_at_once_are_distinct(harness: Harness, provider: Provider) -> None:
    requests = [_request(harness, name) for name in harness.names(harness.concurrent)]
    with ThreadPoolExecutor(len(requests)) as pool:
        made = list(pool.map(provider.create, requests))
    assert len({machine.provider_id for machine in made}) == len(requests)
    listed = provider.list_machines(INFRASTRUCTURE)
    assert sorted(machine.token for machine in listed) == sorted(request.token for request in requests)
    listed = [_reach(harness, provider, machine, Phase.RUNNING) for machine in made]
    addresses = [(m.private_address, m.access.port if m.access else 0) for m in listed]
    assert len(set(addresses)) == len(requests) or not harness.has_addresses


def test_the_same_token_at_once_gives_one_machine(harness: Harness, provider: Provider) -> None:
    request = _request(harness, harness.names(1)[0])
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(provider.create, [request] * 4))
    assert len({machine.provider_id for machine in made}) == 1
    assert len(provider.list_machines(INFRASTRUCTURE)) == 1


def test_what_cannot_be_honoured_is_refused_and_leaves_nothing(harness: Harness, provider: Provider) -> None:
    spec = harness.unsupported()
    if spec is None:
        pytest.skip(f"{harness.name} honours everything")
    request = MachineRequest(INFRASTRUCTURE, harness.names(1)[0], new_token(), spec)
    with pytest.raises(Unsupported):
        provider.create(request)
    assert not provider.list_machines(INFRASTRUCTURE)


def test_create_killed_at_any_moment_is_finished_or_removed(harness: Harness, provider: Provider) -> None:
    token, name = new_token(), harness.names(1)[0]
    kills = harness.kill_during_create(name, token)
    if kills is None:
        pytest.skip(f"{harness.name} keeps nothing of a killed process")
    for _ in kills:
        found = provider.list_machines(INFRASTRUCTURE)
        assert [machine.token for machine in found] in ([], [token])
    made = provider.create(_request(harness, name, token))
    _reach(harness, provider, made, Phase.RUNNING)
    assert [machine.token for machine in provider.list_machines(INFRASTRUCTURE)] == [token]


def test_what_is_equal_already_is_not_resized(harness: Harness, provider: Provider) -> None:
    machine = _reach(harness, provider, provider.create(_request(harness, harness.names(1)[0])), Phase.RUNNING)
    provider.resize(machine.provider_id, harness.spec())
    assert provider.get(machine.provider_id).spec == machine.spec


def test_the_check_says_how_to_mend_what_is_wrong(provider: Provider) -> None:
    findings = provider.check()
    assert findings
    assert all(finding.remedy for finding in findings if finding.severity == "error")


def test_the_console_is_text(harness: Harness, provider: Provider) -> None:
    machine = provider.create(_request(harness, harness.names(1)[0]))
    assert len(provider.console(machine.provider_id).encode()) <= 64 * 1024 * 3


def test_a_machine_counts_where_a_provider_knows_how_much_room_there_is(harness: Harness, provider: Provider) -> None:
    if not isinstance(provider, Quotas):
        pytest.skip(f"{harness.name} has no quotas")
    before = provider.quotas().machines.used or 0
    machine = provider.create(_request(harness, harness.names(1)[0]))
    _until(harness, lambda: provider.quotas().machines.used == before + 1, "one more is used")
    provider.delete(machine.provider_id)
    _until(harness, lambda: provider.quotas().machines.used == before, "as many are used as before")


# Golden images, where a provider keeps them: `im_client/providers/images.py`.


def _image(machine: Instance, name: str) -> ImageRequest:
    return ImageRequest(name, machine.provider_id, INFRASTRUCTURE, machine.name, "workers", 1.0)


def test_a_saved_machine_is_one_that_others_start_from(harness: Harness, provider: Provider) -> None:
    if not isinstance(provider, ImageKeeper):
        pytest.skip(f"{harness.name} keeps no images")
    names = harness.names(2)
    first = _reach(harness, provider, provider.create(_request(harness, names[0])), Phase.RUNNING)
    with pytest.raises(Conflict):
        provider.save_image(_image(first, "contract"))
    provider.stop(first.provider_id)
    _reach(harness, provider, first, Phase.STOPPED)
    saved = provider.save_image(_image(first, "contract"))
    try:
        other = harness.provider()
        assert isinstance(other, ImageKeeper)
        _until(harness, lambda: [image.is_ready for image in other.list_images()] == [True], "the image is ready")
        assert [image.id for image in other.list_images()] == [saved.id]
        assert (saved.name, saved.group, saved.machine) == ("contract", "workers", names[0])
        assert provider.check_image(saved.id) == ""
        with pytest.raises(Conflict):
            provider.save_image(_image(first, "contract"))
        request = _request(harness, names[1])
        request = dataclasses.replace(request, spec=dataclasses.replace(request.spec, golden_image=saved.id))
        second = _reach(harness, provider, provider.create(request), Phase.RUNNING)
        if harness.has_ssh:
            assert request.host_key is not None
            _until(harness, lambda: harness.shown_host_key(second) == request.host_key.public, "its own host key")
        with pytest.raises(Conflict, match=names[1]):
            provider.delete_image(saved.id)
        provider.delete(second.provider_id)
        _empty(harness, provider)
        if isinstance(provider, Keeps):  # it is no orphan, and stays when its infrastructure goes
            assert provider.release(INFRASTRUCTURE) == []
            assert provider.things() == []
            assert provider.check_image(saved.id) == ""
            assert [image.id for image in provider.list_images()] == [saved.id]
    finally:
        _empty(harness, provider)
        provider.delete_image(saved.id)
    provider.delete_image(saved.id)
    assert provider.list_images() == []
    if isinstance(provider, Keeps):
        assert provider.things() == []
    request = _request(harness, names[1])
    with pytest.raises(NotFound):
        provider.create(dataclasses.replace(request, spec=dataclasses.replace(request.spec, golden_image=saved.id)))

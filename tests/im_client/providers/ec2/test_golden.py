"""Golden images of EC2: made once, what is behind them, and deleted whole."""

import pytest

from im_client.plan.model import Phase
from im_client.providers.base import Instance
from im_client.providers.ec2.provider import Ec2Provider
from im_client.providers.images import ImageRequest
from infracore.errors import Conflict, NotFound, TimedOut
from tests.im_client.providers.ec2.conftest import Site
from tests.rigs.faults import Fault

pytestmark = pytest.mark.slow


def _stopped(site: Site, provider: Ec2Provider) -> Instance:
    machine = provider.create(site.request(user="ada"))
    provider.stop(machine.provider_id)
    found = provider.get(machine.provider_id)
    assert found.phase is Phase.STOPPED
    return found


def _wanted(machine: Instance, name: str = "golden") -> ImageRequest:
    return ImageRequest(name, machine.provider_id, "i", machine.name, "workers", 5.0)


def test_an_image_whose_answer_was_lost_is_made_once(site: Site) -> None:
    provider = site.provider()
    machine = _stopped(site, provider)
    site.proxy.plan(Fault("CreateImage", drops=True))
    saved = provider.save_image(_wanted(machine))
    assert site.moto.left()["images"] == 1
    (told,) = site.moto.client.describe_images(ImageIds=[saved.id])["Images"]
    assert told["Name"] == "im-clues golden"
    assert provider.list_images()[0].infrastructure == "i"


def test_a_machine_from_an_image_has_the_account_of_the_one_that_was_saved(site: Site) -> None:
    provider = site.provider()
    saved = provider.save_image(_wanted(_stopped(site, provider)))
    second = provider.create(site.request("wn-2", golden_image=saved.id))
    assert second.access is not None
    assert second.access.user == "ada"
    assert site.told(second)["ImageId"] == saved.id


def test_a_machine_that_runs_and_a_name_that_is_taken_are_refused(site: Site) -> None:
    provider = site.provider()
    machine = _stopped(site, provider)
    provider.save_image(_wanted(machine))
    with pytest.raises(Conflict, match="already"):
        provider.save_image(_wanted(machine))
    provider.start(machine.provider_id)
    with pytest.raises(Conflict, match="saved only while it is stopped"):
        provider.save_image(_wanted(machine, "another"))


def test_an_image_that_is_not_ours_is_neither_looked_at_nor_deleted(site: Site) -> None:
    provider = site.provider()
    (theirs,) = site.moto.client.describe_images(Owners=["self"])["Images"]
    provider.delete_image(theirs["ImageId"])
    with pytest.raises(NotFound):
        provider.check_image(theirs["ImageId"])
    assert len(site.moto.client.describe_images(Owners=["self"])["Images"]) == 1


def test_a_lost_snapshot_is_found(site: Site) -> None:
    provider = site.provider()
    saved = provider.save_image(_wanted(_stopped(site, provider)))
    assert provider.check_image(saved.id) == ""
    (told,) = site.moto.client.describe_images(ImageIds=[saved.id])["Images"]
    site.moto.lose(told["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"])
    assert "is gone or not whole" in provider.check_image(saved.id)


@pytest.mark.parametrize("what", ["CreateTags", "DeregisterImage", "DeleteSnapshot"])
@pytest.mark.parametrize("is_done", [False, True], ids=["before", "after"])
def test_deleting_that_is_broken_off_is_finished_by_the_next_and_loses_no_snapshot(
    site: Site, what: str, is_done: bool
) -> None:
    provider = site.provider(attempts=1)
    machine = _stopped(site, provider)
    saved = provider.save_image(_wanted(machine))
    provider.delete(machine.provider_id)
    provider.release("i")
    site.proxy.plan(Fault(what, drops=True) if is_done else Fault(what, status=503))
    with pytest.raises(TimedOut, match=what):
        provider.delete_image(saved.id)
    left = site.moto.left()
    is_listed = bool(provider.list_images())
    assert is_listed == ("images" in left)
    if not is_listed:
        assert len(provider.things()) == left.get("snapshots", 0)
    provider.delete_image(saved.id)
    assert site.moto.left() == {}
    assert provider.things() == []


def test_a_snapshot_that_was_left_goes_with_its_infrastructure(site: Site) -> None:
    provider = site.provider(attempts=1)
    machine = _stopped(site, provider)
    saved = provider.save_image(_wanted(machine))
    provider.delete(machine.provider_id)
    site.proxy.plan(Fault("DeleteSnapshot", status=503))
    with pytest.raises(TimedOut):
        provider.delete_image(saved.id)
    assert {thing.kind for thing in provider.things("i")} >= {"snapshot"}
    assert provider.release("i") == []
    assert site.moto.left() == {}

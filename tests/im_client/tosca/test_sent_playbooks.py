"""Our own playbooks in a template that was sent to a server, without what lies beside it."""

import pytest

from im_client.tosca.locations import SENT, Origin, Refused, locate_artifact
from infracore.content import content_folder


@pytest.mark.parametrize("said", ["../playbooks/nfs_server.yml", "../../playbooks/nfs_server.yml"])
def test_ours_are_found(said: str) -> None:
    target = locate_artifact(said, f"{SENT}0123/template.yaml")
    assert target.location == str(content_folder() / "playbooks" / "nfs_server.yml")
    assert target.origin is Origin.CONTENT


@pytest.mark.parametrize(
    ("said", "base"),
    [
        ("../playbooks/nfs_server.yml", "https://templates.example/a/template.yaml"),
        ("../playbooks/nfs_server.yml", "https://template.invalid.example/a/template.yaml"),
        ("../playbooks/absent.yml", f"{SENT}0123/template.yaml"),
        ("../playbooks/../pyproject.yml", f"{SENT}0123/template.yaml"),
        ("../playbooks/roles/nfs/tasks/main.yml", f"{SENT}0123/template.yaml"),
        ("playbooks/nfs_server.yml", f"{SENT}0123/template.yaml"),
    ],
)
def test_all_else_is_an_address_as_before(said: str, base: str) -> None:
    target = locate_artifact(said, base)
    assert target.location.startswith("https://")
    assert target.origin is Origin.OTHER


def test_no_path_of_this_computer_is_followed() -> None:
    with pytest.raises(Refused):
        locate_artifact("/etc/passwd", f"{SENT}0123/template.yaml")

"""Images and clones at a server that says what a test tells it to."""

import threading
from pathlib import Path

import pytest

from im_client.auth.server import cloud_ids
from im_client.plan.model import Phase
from im_client.services.model import DeployRequest
from im_client.services.remote import people
from im_client.services.remote.cloning import prepare_clone
from im_client.services.remote.images import Image, delete, find_image, images, save
from im_client.services.remote.model import Machine
from im_client.settings import Settings
from im_client.template.problems import InvalidTemplate
from infracore.errors import (
    Cancelled,
    CommandFailed,
    Conflict,
    InfraError,
    InvalidUsage,
    NotFound,
    Transient,
    Unauthorised,
    Unsupported,
)
from tests.im_client.services.remote.test_remote_server import ANSWERS, infrastructure, opened
from tests.rigs.small_im import Reply, small_im

FRONT = Machine("0", "front", "front", Phase.CONFIGURED)
OPERATION = {"Operation": "http://x/operations/op-1"}
TEMPLATE = """\
tosca_definitions_version: tosca_simple_yaml_1_3
topology_template:
  inputs:
    im_infrastructure: {type: string, default: abcd-1}
  node_templates:
    front: {type: tosca.nodes.Compute, capabilities: {host: {properties: {num_cpus: 1}}}}
"""


def ours(*clouds: str) -> ANSWERS:
    return {
        **infrastructure(),
        "GET /healthz": Reply(body="ok\n"),
        "GET /clouds": Reply(body={"clouds": [{"id": cloud, "provider": "p"} for cloud in clouds]}),
    }


def listed(*names: str, site: str = "p") -> Reply:
    return Reply(body={"images": [{"name": name, "uri": f"golden://{site}/{name}-1"} for name in names]})


def test_an_image_that_takes_its_time_is_waited_for(tmp_path: Path) -> None:
    states = iter(["running", "done"])
    answers = {
        **ours("c"),
        "PUT /infrastructures/abcd-1/vms/0/disks/0/snapshot": Reply(202, "still going on", OPERATION),
        "GET /operations/op-1": lambda: Reply(body={"state": next(states, "done")}),
        "GET /clouds/c/images": listed("web"),
    }
    with small_im(answers) as server, opened(server, tmp_path) as im:
        saved = save(im, "abcd-1", FRONT, "web", listener=lambda event: None, cancel=threading.Event())
    assert saved == Image("c", "web", "golden://p/web-1")
    assert server.count("PUT /infrastructures/abcd-1/vms/0/disks/0/snapshot?image_name=web") == 1


@pytest.mark.parametrize(("state", "error"), [("failed", CommandFailed), ("cancelled", Cancelled)])
def test_an_image_that_was_not_made_is_an_error(state: str, error: type[InfraError], tmp_path: Path) -> None:
    answers = {
        **ours("c"),
        "PUT /infrastructures/abcd-1/vms/0/disks/0/snapshot": Reply(202, "still going on", OPERATION),
        "GET /operations/op-1": Reply(body={"state": state, "error": "the disk is full"}),
    }
    with small_im(answers) as server, opened(server, tmp_path) as im, pytest.raises(error, match="the disk is full"):
        save(im, "abcd-1", FRONT, "web", listener=lambda event: None, cancel=threading.Event())


def test_images_of_all_clouds_are_listed_and_named_without_a_guess(tmp_path: Path) -> None:
    answers = {
        **ours("a", "b", "none", "down"),
        "GET /clouds/a/images": listed("web", "db", site="a"),
        "GET /clouds/b/images": listed("web", site="b"),
        "GET /clouds/none/images": Reply(400, {"message": "keeps no images", "type": "urn:im-clues:unsupported"}),
        "GET /clouds/down/images": Reply(401, {"message": "the keys are refused"}),
        "DELETE /clouds/a/images/db-1": Reply(),
    }
    with small_im(answers) as server, opened(server, tmp_path) as im:
        listed_now = images(im)
        assert [(one.cloud, one.name) for one in listed_now.images] == [("a", "web"), ("a", "db"), ("b", "web")]
        assert list(listed_now.silent) == ["down"]
        assert "the keys are refused" in listed_now.silent["down"].message
        assert find_image(im, "web", "b").address == "golden://b/web-1"
        assert find_image(im, "db-1") == find_image(im, "golden://a/db-1") == Image("a", "db", "golden://a/db-1")
        with pytest.raises(Conflict, match="2 images"):
            find_image(im, "web")
        with pytest.raises(NotFound, match=r"no image 'other'.*not asked: down"):
            find_image(im, "other")
        delete(im, find_image(im, "db"))
        server.answers |= dict.fromkeys(("GET /clouds/a/images", "GET /clouds/b/images"), Reply(400, {"message": "no"}))
        with pytest.raises(InfraError):
            images(im)
        server.answers["GET /clouds"] = Reply(body={"clouds": []})
        with pytest.raises(Unauthorised, match="no cloud"):
            images(im)


def test_at_the_original_the_auth_file_says_which_clouds_there_are(tmp_path: Path) -> None:
    auth = tmp_path / "auth.dat"
    auth.touch(0o600)
    lines = "id = im; type = InfrastructureManager; username = a; password = b", "id = one; type = Dummy", "type = EC2"
    auth.write_text("\n".join(lines))
    assert cloud_ids(str(auth)) == ("one",)
    assert cloud_ids("") == ()
    with small_im({}) as server, opened(server, tmp_path) as im, pytest.raises(Unauthorised, match="no cloud"):
        images(im)
    with small_im({}) as server, opened(server, tmp_path) as im, pytest.raises(Unsupported, match="deletes no images"):
        delete(im, Image("one", "web", "mock0://web"))


def test_a_token_is_never_made_twice_for_an_answer_that_did_not_come(tmp_path: Path) -> None:
    answers = {**ours(), "POST /users/bea/tokens": Reply(503, {"message": "later"})}
    with small_im(answers) as server, opened(server, tmp_path) as im:
        with pytest.raises(Transient):
            people.token(im, "bea", role="viewer", infra=None, days=None)
        assert server.count("POST /users/bea/tokens") == 1
        server.answers["POST /users/bea/tokens"] = Reply(body={"token": "imt_x"})
        assert people.token(im, "bea", role="viewer", infra=None, days=2.0).reveal() == "imt_x"
        assert '"days": 2.0' in server.asked[-1][2]
        server.answers["POST /users/bea/tokens"] = Reply(body={})
        with pytest.raises(Transient, match="without a token"):
            people.token(im, "bea", role="viewer", infra=None, days=None)


def cloned(tmp_path: Path, text: str, name: str = "test", **inputs: str) -> None:
    answers = {**infrastructure(), "GET /infrastructures/abcd-1/tosca": Reply(body={"tosca": text})}
    settings = Settings(cache_dir=tmp_path / "cache", state_dir=tmp_path / "state")
    with small_im(answers) as server, opened(server, tmp_path) as im:
        prepare_clone(im, settings, "abcd-1", DeployRequest(template="", name=name, inputs=inputs))


def test_a_clone_that_would_scale_the_original_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidUsage, match="im_infrastructure is the infrastructure's own id"):
        cloned(tmp_path, TEMPLATE)
    cloned(tmp_path, TEMPLATE, im_infrastructure="another")


def test_a_clone_takes_no_name_that_is_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidUsage, match="already"):
        cloned(tmp_path, TEMPLATE, "demo")


@pytest.mark.parametrize("named", ["/etc/passwd", "file:///etc/passwd", "http://x.invalid/types.yaml"])
def test_a_template_that_a_server_sends_reads_nothing_of_this_computer(named: str, tmp_path: Path) -> None:
    text = TEMPLATE.replace("topology_template:", f"imports: ['{named}']\ntopology_template:")
    with pytest.raises(InvalidTemplate) as caught:
        cloned(tmp_path, text, im_infrastructure="another")
    assert "root:" not in str(caught.value.problems)

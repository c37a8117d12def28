"""What the provider `im` asks a server for, and how it finds its machines again."""

import socket
from pathlib import Path

import pytest

from im_client.plan.model import Phase, Spec, SpecInterface, SpecVolume
from im_client.providers.base import MachineRequest
from im_client.providers.im import ImProvider
from im_client.providers.im.request import Mark, body_of
from im_client.providers.im.settings import ImSettings
from im_client.providers.registry import provider
from im_client.services.analysis import analyse
from infracore.clock import FakeClock
from infracore.errors import InfraError, Misconfigured, NotFound, Unauthorised, Unsupported
from tests.rigs.small_im import Reply, SmallIm, small_im

TOKEN = "0123456789abcdef0123"


def request_for(**spec: object) -> MachineRequest:
    return MachineRequest("inf-1", "web-1", TOKEN, Spec(**spec))  # type: ignore[arg-type]


class _Text:
    def __init__(self, text: str) -> None:
        self.text = text

    def read(self, _location: str, /) -> bytes:
        return self.text.encode()

    def digest(self, _location: str, /) -> str:
        return ""


def test_a_machine_is_asked_for_as_one_infrastructure_with_our_mark_and_no_configuration() -> None:
    spec = {"num_cpus": 2, "mem_bytes": 2**30, "ports": ("tcp/80", "udp/53-54@10.0.0.0/8"), "image": "ost://c/1"}
    text = body_of(request_for(**spec), cloud="one").text
    found = analyse("/x/machine.radl", _Text(text))
    assert [problem for problem in found.problems if problem.level == "error"] == []
    assert found.topology is not None
    group = found.topology.groups["machine"]
    assert (group.count, group.hardware.num_cpus, group.hardware.mem_bytes) == (1, 2, 2**30)
    assert {(rule.protocol, rule.first, rule.last) for rule in group.ports} == {
        ("tcp", 22, 22),
        ("tcp", 80, 80),
        ("udp", 53, 54),
    }
    assert (group.image.url, group.placement.cloud_id) == ("ost://c/1", "one")
    assert found.topology.operations == ()
    assert f"name = 'im-clues/inf-1/web-1/{TOKEN}'" in text
    assert "contextualize ()" in text


def test_an_image_of_the_settings_is_for_machines_that_name_none() -> None:
    assert "'aws://x/1'" in body_of(request_for(), image="aws://x/1").text
    assert "'aws://x/1'" not in body_of(request_for(image="ost://c/1"), image="aws://x/1").text


@pytest.mark.parametrize(
    "spec",
    [
        {"volumes": (SpecVolume("data", 1),)},
        {"interfaces": (SpecInterface("net", cidr="10.0.0.0/24"),)},
        {"interfaces": (SpecInterface("net", fixed_address="10.0.0.4"),)},
        {"ports": ("tcp/80>8080",)},
    ],
)
def test_what_one_machine_alone_cannot_have_is_refused(spec: dict[str, object]) -> None:
    with pytest.raises(Unsupported):
        body_of(request_for(**spec))


@pytest.mark.parametrize("name", ["", "cluster", "im-clues/a/b", "im-clues/a/b/nothex!", f"im-clues/a/b/{TOKEN}/c"])
def test_what_others_made_has_no_mark(name: str) -> None:
    assert Mark.read(name) is None
    assert Mark.read(str(Mark("a", "b", TOKEN))) == Mark("a", "b", TOKEN)


def opened(server: SmallIm, **settings: object) -> ImProvider:
    return ImProvider(ImSettings(server=server.url, reachable=False, **settings), "t0ken", FakeClock())  # type: ignore[arg-type]


def test_infrastructures_of_others_are_neither_listed_nor_touched() -> None:
    answers = {
        "GET /infrastructures": Reply(body={"uri-list": [{"uri": "http://x/infrastructures/aaaa"}]}),
        "GET /infrastructures/aaaa/radl": Reply(body={"radl": "description d (name = 'production')\n"}),
    }
    with small_im(answers) as server:
        im = opened(server)
        assert list(im.list_machines()) == []
        with pytest.raises(NotFound):
            im.get("aaaa")
        im.close()
    assert {line.split()[0] for line, _, _ in server.asked} == {"GET"}


def test_of_two_with_one_token_one_goes() -> None:
    uris = [{"uri": f"http://x/infrastructures/{infra}"} for infra in ("bbbb", "aaaa")]
    state = Reply(body={"state": {"state": "pending", "vm_states": {}}})
    answers = {"DELETE /infrastructures/bbbb": Reply()}
    for infra in ("aaaa", "bbbb"):
        answers[f"GET /infrastructures/{infra}/radl"] = Reply(
            body={"radl": f"description d (name = '{Mark('inf-1', 'web-1', TOKEN)}')\n"}
        )
        answers[f"GET /infrastructures/{infra}/state"] = state
    with small_im(answers) as server:

        def listed() -> Reply:
            gone = server.count("DELETE /infrastructures/bbbb")
            return Reply(body={"uri-list": uris[1:] if gone else uris})

        server.answers["GET /infrastructures"] = listed
        im = opened(server)
        found = im.create(request_for())
        im.close()
    assert (found.provider_id, found.phase) == ("aaaa", Phase.PENDING)
    assert server.count("DELETE /infrastructures/bbbb") == 1


def test_a_deleted_machine_that_the_server_has_again_is_deleted_again_and_not_listed() -> None:
    uris = Reply(body={"uri-list": [{"uri": "http://x/infrastructures/aaaa"}]})
    answers = {
        "GET /infrastructures": Reply(body={"uri-list": []}),
        "GET /infrastructures/aaaa/radl": Reply(body={"radl": f"description d (name = '{Mark('i', 'w', TOKEN)}')\n"}),
        "GET /infrastructures/aaaa/state": Reply(
            body={"state": {"state": "configured", "vm_states": {"0": "running"}}}
        ),
        "DELETE /infrastructures/aaaa": Reply(),
    }
    with small_im(answers) as server:
        im = opened(server)
        im.delete("aaaa")
        server.answers["GET /infrastructures"] = uris  # the original saved it once more after it was deleted
        assert list(im.list_machines()) == []
        im.close()
    assert server.count("DELETE /infrastructures/aaaa") == 2


def test_settings_that_cannot_be_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IM_TOKEN", raising=False)
    with pytest.raises(Misconfigured, match="server"):
        provider("im", {})
    with pytest.raises(Misconfigured, match="no TLS"):
        provider("im", {"server": "http://im.example.org"})
    with pytest.raises(Unauthorised):
        provider("im", {"server": "https://im.example.org"})
    with pytest.raises(Misconfigured, match="sevrer"):
        provider("im", {"sevrer": "https://im.example.org"})
    with pytest.raises(InfraError):
        provider("im", {"server": "https://im.example.org", "auth_file": str(tmp_path / "none")})


def test_a_server_that_does_not_answer_is_a_finding() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        im = ImProvider(ImSettings(server=f"http://127.0.0.1:{closed.getsockname()[1]}"), "t", FakeClock())
        (finding,) = im.check()
        im.close()
    assert finding.severity == "error"
    assert finding.remedy

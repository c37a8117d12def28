"""`im flash` on image files: what it writes, and what it refuses with which exit code, nothing written."""

import gzip
import json
import lzma
import signal
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import yaml

from im_client.flash.devices import read_devices
from im_client.flash.write import is_unfinished
from tests.im_client.flash.customise.pi_images import KEY, Disk, make_disk
from tests.im_client.flash.image_server import Site, serve

OLD = b"what was there" * 1000


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An image as it is fetched, packed with xz; nothing is in it."""
    packed = tmp_path / "pi.img.xz"
    packed.write_bytes(lzma.compress(bytes(range(256)) * 8192, preset=0))
    return packed


@pytest.fixture
def pi_image(tmp_path: Path) -> Path:
    """An image that can be customised, packed with xz."""
    folder = tmp_path / "make"
    folder.mkdir()
    packed = tmp_path / "raspios.img.xz"
    packed.write_bytes(lzma.compress(make_disk(folder).path.read_bytes(), preset=0))
    return packed


@pytest.fixture
def card(tmp_path: Path) -> Path:
    """A place to write, with something in it."""
    path = tmp_path / "card.img"
    path.write_bytes(OLD)
    return path


def node(device: Path | str, **keys: Any) -> dict[str, Any]:
    return {
        "raspberry_pi_device": str(device),
        "raspberry_pi_node": {"user": "ana", "authorized_keys": [KEY], **keys},
    }


def nodes_file(tmp_path: Path, **nodes: dict[str, Any]) -> str:
    path = tmp_path / "nodes.yaml"
    path.write_text(yaml.safe_dump({name.replace("_", "-"): value for name, value in nodes.items()}))
    return str(path)


@pytest.mark.mtools
def test_cards_of_all_nodes_are_written_and_a_second_run_leaves_them(im, pi_image: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "1.img", tmp_path / "2.img"
    nodes = nodes_file(tmp_path, pi_1=node(first), pi_2=node(second), pi_3={"raspberry_pi_model": "4B"})
    words = ("flash", str(pi_image), "--nodes", nodes, "--all", "--if-needed", "-y", "--json")
    done = im(*words)
    assert done.status == 0, done.err
    plan, report = done.lines[0], done.lines[-1]
    assert [(c["name"], c["device"], c["hostname"]) for c in plan["cards"]] == [
        ("pi-1", str(first), "pi-1"),
        ("pi-2", str(second), "pi-2"),
    ]
    assert plan["notes"] == ["left out, for they have no raspberry_pi_device: pi-3"]
    assert (report["type"], report["changed"]) == ("report", True)
    assert [(c["state"], c["verified"], c["unfinished"]) for c in report["cards"]] == [("done", True, False)] * 2
    phases = {line["phase"] for line in done.lines if line["type"] == "progress"}  # those that take a moment
    assert "write" in phases <= {"write", "verify", "finish"}
    known = Path(report["known_hosts"]).read_text()
    assert f"pi-2.local {report['cards'][1]['host_key']}" in known
    assert "hostname: pi-1" in Disk(first).boot("user-data")
    before = first.read_bytes()
    again = im(*words).lines
    assert {c["state"] for c in again[0]["cards"]} == {"unchanged"}
    assert not again[-1]["changed"]
    assert {c["state"] for c in again[-1]["cards"]} == {"unchanged"}
    assert first.read_bytes() == before


@pytest.mark.mtools
def test_people_read_a_table_by_node(im, pi_image: Path, tmp_path: Path) -> None:
    nodes = nodes_file(tmp_path, web=node("elsewhere"))
    done = im("flash", str(pi_image), str(tmp_path / "1.img"), "--nodes", nodes, "--node", "web", "-y")
    assert done.status == 0, done.err
    assert done.out == ""
    assert "a new file  becomes web" in done.err
    assert "web: customising" in done.err
    assert (tmp_path / "1.img").stat().st_mode & 0o777 == 0o600  # a private key is in it
    row = next(line for line in done.err.splitlines() if line.startswith("web  "))
    assert row.split()[:3] == ["web", str(tmp_path / "1.img"), "done"]
    assert "1 card well, in" in done.err


@pytest.mark.mtools
def test_one_of_two_that_fails_is_partly_done(im, tmp_path: Path) -> None:
    folder = tmp_path / "bare"
    folder.mkdir()
    bare = str(make_disk(folder, root=(), boot={}).path)  # nothing on it would make an account
    good = {"raspberry_pi_device": str(tmp_path / "1.img"), "raspberry_pi_node": {}}
    nodes = nodes_file(tmp_path, good=good, bad=node(tmp_path / "2.img"))
    done = im("flash", bare, "--nodes", nodes, "--all", "-y")
    assert done.status == 4
    assert "failed: bad: " in done.err
    assert "1 card well, 1 not, in" in done.err
    row = next(line for line in done.err.splitlines() if line.startswith("bad  "))
    assert row.endswith("unfinished, and marked so: it does not boot")
    assert im("flash", bare, "--nodes", nodes, "--to", f"bad={tmp_path / '2.img'}", "-y").status == 1


def test_a_dry_run_writes_nothing(im, image: Path, card: Path, tmp_path: Path) -> None:
    done = im("flash", str(image), str(card), "--dry-run")
    assert done.status == 0
    assert f"{card}  a file of 13.7 KiB, which is replaced  as the image is" in done.out
    assert "nothing was written" in done.err
    assert card.read_bytes() == OLD
    assert im("flash", str(image), str(card), "--dry-run", "--json").json["cards"][0]["state"] == "write"


def refused(im, tmp_path: Path, card: Path, *words: str, code: int, said: str) -> None:
    """Expect a message with a hint, an exit code, and that nothing was written."""
    done = im("flash", *words, "-y")
    assert said in done.err
    assert done.status == code
    assert "hint: " in done.err
    assert card.read_bytes() == OLD
    assert done.out == ""


def test_without_a_terminal_and_without_yes_it_fails_at_once(im, image: Path, card: Path) -> None:
    done = im("flash", str(image), str(card))
    assert done.status == 2
    assert "there is no terminal to ask on" in done.err
    assert card.read_bytes() == OLD


def test_the_systems_disk_is_refused(im, image: Path, card: Path, tmp_path: Path) -> None:
    system = [device for device in read_devices() if device.is_system]
    if not system:
        pytest.skip("no disk of /sys/block holds / or swap here (a container, a network root): none is the system's")
    disk = str(system[0].path)
    refused(im, tmp_path, card, str(image), disk, code=2, said=f"{disk} (")
    refused(im, tmp_path, card, str(image), disk, code=2, said="not written: the running system is on it (")
    refused(im, tmp_path, card, str(image), disk, "--force-device", disk, code=2, said="the running system is on it")


def test_a_wrong_checksum_is_refused(im, image: Path, card: Path, tmp_path: Path) -> None:
    words = (str(image), str(card), "--sha256", "0" * 64)
    refused(im, tmp_path, card, *words, code=1, said=f"wrong checksum: {image} has the SHA-256 ")
    refused(im, tmp_path, card, *words[:3], "abc", code=2, said="'abc' is no SHA-256")
    assert im("flash", str(image), str(card), "--sha256", sha256(image.read_bytes()).hexdigest(), "-y").status == 0


def test_a_truncated_image_is_refused(im, image: Path, card: Path, tmp_path: Path) -> None:
    image.write_bytes(image.read_bytes()[:-200])
    refused(im, tmp_path, card, str(image), str(card), code=1, said="truncated xz")


def spoilt(im, card: Path, *words: str, said: str) -> None:
    """Expect an error that was seen while the card was written, and a card that says that it is unfinished."""
    done = im("flash", *words, str(card), "-y")
    assert done.status == 1
    told = " ".join((done.out + done.err).split())
    assert said in told
    assert "unfinished, and marked so" in told
    assert is_unfinished(card)


def test_what_is_seen_only_while_it_is_unpacked_leaves_a_card_that_is_marked(im, image: Path, card: Path) -> None:
    raw, packed = lzma.decompress(image.read_bytes()), bytearray(image.read_bytes())
    packed[len(packed) // 2] ^= 1
    image.write_bytes(packed)
    spoilt(im, card, str(image), said="corrupt xz")
    image.write_bytes(gzip.compress(raw)[:-200])
    spoilt(im, card, str(image), said="truncated gz")


def test_a_wrong_sum_of_the_unpacked_image_leaves_a_card_that_is_marked(
    im, image: Path, card: Path, tmp_path: Path
) -> None:
    with serve(Site({"/pi.img.xz": image.read_bytes()})) as site:
        one = {"name": "Ours", "url": f"{site.url}/pi.img.xz", "extract_sha256": "0" * 64}
        (tmp_path / "list.json").write_text(json.dumps({"os_list": [one]}))
        spoilt(im, card, "Ours", "--os-list", str(tmp_path / "list.json"), said=f"not {'0' * 64}")


def test_an_image_that_is_none_is_refused(im, card: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.img"
    page.write_text("<!DOCTYPE html><html>not found</html>" + " " * 4096)
    refused(im, tmp_path, card, str(tmp_path / "absent.img"), str(card), code=1, said="there is no image")
    done = im("flash", str(page), str(card), "-y")
    assert (done.status, card.read_bytes()) == (1, OLD)
    assert "is a web page" in done.err


def test_wifi_without_a_country_is_refused(im, image: Path, card: Path, tmp_path: Path) -> None:
    nodes = nodes_file(tmp_path, web=node(card, wifi={"ssid": "home", "passphrase": "correct horse"}))
    refused(im, tmp_path, card, str(image), "--nodes", nodes, "--all", code=2, said="country")


def test_duplicate_hostnames_are_refused(im, image: Path, card: Path, tmp_path: Path) -> None:
    nodes = nodes_file(tmp_path, a=node(card, hostname="web"), b=node(tmp_path / "b.img", hostname="web"))
    words = (str(image), "--nodes", nodes, "--all")
    refused(im, tmp_path, card, *words, code=2, said="a, b have the same hostname web")
    assert not (tmp_path / "b.img").exists()


def test_a_card_for_two_nodes_is_refused(im, image: Path, card: Path, tmp_path: Path) -> None:
    nodes = nodes_file(tmp_path, a=node(card), b=node(card))
    refused(im, tmp_path, card, str(image), "--nodes", nodes, "--all", code=2, said="it is named twice, for a and b")
    words = ("--to", f"a={card}", "--to", f"a={tmp_path / 'b.img'}")
    refused(im, tmp_path, card, str(image), "--nodes", nodes, *words, code=2, said=f"a goes to {card} already")


def test_what_is_no_place_to_write_is_refused(im, image: Path, card: Path, tmp_path: Path) -> None:
    for place, said in (
        ("/dev/sdzz", "there is no such device"),
        ("/dev/null", "it is neither a block device nor a file"),
        (str(tmp_path), "it is neither a block device nor a file"),
        (str(image), "it is the image itself"),
        (str(tmp_path / "nowhere" / "card.img"), "its folder is not there"),
    ):
        refused(im, tmp_path, card, str(image), place, code=2, said=said)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "no card is named"),
        (("pi.img.xz", "card.img", "--all", "--nodes", "nodes.yaml"), "say which card is meant, in one way"),
        (("pi.img.xz", "card.img", "--node", "web"), "add --inventory DIR"),
        (("/dev/sda", "--all", "--nodes", "nodes.yaml"), "/dev/sda stands where the image is named"),
        (("pi.img.xz", "card.img", "--nodes", "nodes.yaml"), "which node is it to become?"),
        (("pi.img.xz", "--node", "nobody", "--nodes", "nodes.yaml"), "there is no board 'nobody'"),
        (("--all", "--nodes", "nodes.yaml"), "no image is named for web"),
        (("pi.img.xz", "--all", "--nodes", "absent.yaml"), "cannot read the nodes of absent.yaml"),
        (("pi.img.xz", "--all", "--nodes", "list.yaml"), "list.yaml does not hold nodes"),
        (("pi.img.xz", "--all", "--nodes", "nodes.yaml", "--inventory", "."), "both name the nodes"),
        (("pi.img.xz", "--all", "--inventory", "absent"), "there is no inventory absent"),
        (("pi.img.xz", "--to", "web", "--nodes", "nodes.yaml"), "is not KEY=VALUE"),
        (("pi.img.xz", "--node", "bare", "--nodes", "bare.yaml"), "bare has no raspberry_pi_device"),
    ],
)
def test_words_that_do_not_fit_are_refused(im, tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    (tmp_path / "pi.img.xz").write_bytes(lzma.compress(bytes(4096)))
    nodes_file(tmp_path, web=node("card.img"))
    (tmp_path / "list.yaml").write_text("[a, b]")
    (tmp_path / "bare.yaml").write_text("bare: {raspberry_pi_model: 4B}")
    done = im("flash", *words, "-y")
    assert said in done.err
    assert done.status in {1, 2}
    assert not (tmp_path / "card.img").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("web: {raspberry_pi_device: a.img}\nweb: {raspberry_pi_device: b.img}\n", "line 2: web stands twice"),
        ("yes: {raspberry_pi_device: a.img}", "a node cannot be named True"),
        ("~: {raspberry_pi_device: a.img}", "a node cannot be named None"),
        ("[" * 5000, "nested deeper"),
        ("web: 2020-99-99", "month must be in 1..12"),
        ('web: {raspberry_pi_node: {password: "hunter2', "line 1, column"),
    ],
)
def test_nodes_that_cannot_be_read_are_one_error_without_their_text(im, tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "nodes.yaml").write_text(text)
    done = im("flash", "pi.img", "--nodes", str(tmp_path / "nodes.yaml"), "--all", "-y")
    assert done.status == 2
    assert said in done.err
    assert "hunter2" not in done.err


def test_no_server_can_do_it(im) -> None:
    done = im("--server", "https://im.example.org", "flash", "--list")
    assert done.status == 2
    assert "runs on this computer" in done.err


def test_the_list_is_for_programs_too(im) -> None:
    listed = im("flash", "--list", "--json")
    assert listed.status == 0
    assert all(set(card) >= {"device", "model", "serial", "size_bytes", "uses"} for card in listed.json["cards"])


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_an_unfinished_card_that_says_so(tmp_path: Path, number: int) -> None:
    large = tmp_path / "large.img"
    with large.open("wb") as out:  # long enough to be in the middle of it: some 300 MB are written and read back
        for block in range(300):
            out.write(bytes([block % 255 + 1]) * (1 << 20))
    target = tmp_path / "card.img"
    words = [sys.executable, "-m", "im_client.cli.main", "flash", str(large), str(target), "-y", "--json"]
    environment = {"PYTHONPATH": ":".join(sys.path), "IM_STATE_DIR": str(tmp_path / "s"), "HOME": str(tmp_path)}
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if json.loads(line)["type"] == "progress":
                break
        ends = time.monotonic() + 60
        while not target.exists() or not is_unfinished(target):  # the first thing that is written
            assert time.monotonic() < ends
        child.send_signal(number)
        report = json.loads(child.stdout.read().splitlines()[-1])
        assert child.wait(60) == 130
    (made,) = report["cards"]
    assert (made["state"], made["unfinished"], made["error"]["code"]) == ("cancelled", True, "cancelled")
    assert is_unfinished(target)

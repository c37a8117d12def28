"""`im inventory` of a server: what it says becomes variables of Ansible, so only what they should be is taken."""

from pathlib import Path

import pytest

from tests.im_client.services.remote.test_remote_server import infrastructure, radl
from tests.rigs.im_words import Im, Ran
from tests.rigs.servers import Site
from tests.rigs.small_im import small_im

_KEY = {"disk.0.os.credentials.private_key": "K", "net_interface.0.ip": "192.0.2.1"}


def inventory(tmp_path: Path, *words: str, name: str = "demo", **said: str) -> Ran:
    auth = tmp_path / "auth.dat"
    auth.write_text("type = InfrastructureManager; username = ana; password = secret\n")
    auth.chmod(0o600)
    answers = infrastructure(name)
    answers["GET /infrastructures/abcd-1/vms/0"] = radl(**_KEY, **said)
    with small_im(answers) as server:
        return Im(Site(server.url, auth, is_original=True), tmp_path).run("inventory", "abcd-1", *words)


def test_a_machine_with_its_address(tmp_path: Path) -> None:
    done = inventory(tmp_path, name="a\x1b[31mb")
    assert done.status == 0
    assert "front ansible_host=192.0.2.1" in done.out
    assert done.out.startswith(r"# a\x1b[31mb (abcd-1)")


@pytest.mark.parametrize("words", [(), ("--json",)])
@pytest.mark.parametrize("user", ["-oProxyCommand=id", "{{ lookup('pipe', 'id') }}"])
def test_a_user_that_is_more_than_a_user_is_refused(user: str, words: tuple[str, ...], tmp_path: Path) -> None:
    done = inventory(tmp_path, *words, **{"disk.0.os.credentials.username": user})
    assert done.status == 2
    assert "is not a user name" in done.err
    assert not done.out

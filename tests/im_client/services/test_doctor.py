"""What `im doctor` looks at."""

from contextlib import contextmanager
from pathlib import Path

from im_client.services.doctor import doctor
from im_client.settings import Settings
from infracore.errors import Misconfigured


@contextmanager
def closed():
    raise Misconfigured("not here")
    yield


def test_a_cloud_of_the_auth_file_is_examined_by_the_id_of_its_line(tmp_path: Path) -> None:
    file = tmp_path / "auth.dat"
    file.touch(0o600)
    file.write_text("id = site; type = OpenStack; host = nowhere; username = u; password = p; tenant = t\n")
    settings = Settings(auth_file=file, state_dir=tmp_path, cache_dir=tmp_path)
    (finding,) = doctor(settings, ("site",), opened=closed).findings["site"]
    assert finding.text == "the line site of the auth file needs host = https://SERVER:5000"

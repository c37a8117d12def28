"""The settings of `im`: its files, folders and limits, and the page that documents them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from im_client.configure.model import Strategy
from im_client.settings import DOCS, database_url, describe, files, load_settings, reference
from infracore.errors import Misconfigured

ROOT = Path(__file__).parents[2]


def test_the_project_file_wins_over_the_users(tmp_path: Path) -> None:
    user, project = tmp_path / "home" / ".config" / "im" / "im.yaml", tmp_path / "project" / "im.yaml"
    for file, text in ((user, "provider: fake\nparallel: 3\n"), (project, "provider: existing\n")):
        file.parent.mkdir(parents=True)
        file.write_text(text)
    loaded = load_settings(overrides={}, environ={"HOME": str(tmp_path / "home")}, cwd=project.parent)
    assert (loaded.value.provider, loaded.value.parallel) == ("existing", 3)
    assert (loaded.origins["provider"], loaded.origins["parallel"]) == (f"{project}:1", f"{user}:2")


def test_xdg_config_home_moves_the_users_file(tmp_path: Path) -> None:
    found = files({"XDG_CONFIG_HOME": str(tmp_path)}, Path("/here"))
    assert found == (Path("/etc/im/im.yaml"), tmp_path / "im" / "im.yaml", Path("/here/im.yaml"))


def test_words_reach_nested_settings(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "IM_ANSIBLE_FORKS": "50", "IM_ANSIBLE_STRATEGY": "plain"}
    overrides = {"timeouts.create_s": "30", "providers.local.suite": "noble"}
    settings = load_settings(overrides=overrides, environ=environ, cwd=tmp_path).value
    assert (settings.ansible.forks, settings.ansible.strategy) == (50, Strategy.PLAIN)
    assert (settings.timeouts.create_s, settings.providers) == (30.0, {"local": {"suite": "noble"}})


@pytest.mark.skipif(os.geteuid() == 0, reason="root's folders are fixed")
def test_the_folders_of_a_user_follow_xdg(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "s")}
    settings = load_settings(overrides={}, environ=environ, cwd=tmp_path).value
    assert (settings.state_dir, settings.cache_dir) == (tmp_path / "s/im-clues", tmp_path / ".cache/im-clues")


@pytest.mark.skipif(os.geteuid() != 0, reason="ordinary users have folders of their own")
def test_the_folders_of_root_are_those_of_the_system(tmp_path: Path) -> None:
    settings = load_settings(overrides={}, environ={"HOME": str(tmp_path)}, cwd=tmp_path).value
    assert (settings.state_dir, settings.cache_dir) == (Path("/var/lib/im-clues"), Path("/var/cache/im-clues"))


def test_folders_are_absolute_wherever_they_are_named(tmp_path: Path) -> None:
    (tmp_path / "im.yaml").write_text("state_dir: s\nansible: {roles_path: [r, /x]}\n")
    environ = {"HOME": str(tmp_path), "IM_CACHE_DIR": "c", "IM_ANSIBLE_COLLECTIONS_PATH": "[l, ~/m]"}
    settings = load_settings(overrides={}, environ=environ, cwd=tmp_path).value
    assert (settings.state_dir, settings.cache_dir) == (tmp_path / "s", tmp_path / "c")
    assert settings.ansible.roles_path == (str(tmp_path / "r"), "/x")
    assert settings.ansible.collections_path == (str(tmp_path / "l"), str(Path.home() / "m"))


@pytest.mark.parametrize(
    ("name", "word"),
    [("parallel", "0"), ("ansible.forks", "-1"), ("lock_wait_s", "-1"), ("timeouts.stop_s", ".nan")],
)
def test_a_value_out_of_range_is_refused(tmp_path: Path, name: str, word: str) -> None:
    with pytest.raises(Misconfigured, match=f"command line: {name} is .*, and at least"):
        load_settings(overrides={name: word}, environ={"HOME": str(tmp_path)}, cwd=tmp_path)


@pytest.mark.parametrize("word", ["", "http://10.77.0.1:8800", "https://im.example.org/im", "https://[fd00::1]:8800"])
def test_the_public_address_loses_its_last_slash_only(tmp_path: Path, word: str) -> None:
    given = f"{word}/" if word else ""
    loaded = load_settings(overrides={"server.public_url": given}, environ={"HOME": str(tmp_path)}, cwd=tmp_path)
    assert loaded.value.server.public_url == word


@pytest.mark.parametrize(
    "word",
    [
        "im.example.org",
        "ftp://x",
        "https://",
        "https://ana:pw@x",
        "http://x:0",
        "http://x:70000",
        "http://x/?q",
        "http://{{x",
    ],
)
def test_a_public_address_that_nobody_could_ask_is_refused(tmp_path: Path, word: str) -> None:
    with pytest.raises(Misconfigured, match=r"command line: server\.public_url"):
        load_settings(overrides={"server.public_url": word}, environ={"HOME": str(tmp_path)}, cwd=tmp_path)


def test_every_setting_is_described_and_nothing_else_is() -> None:
    assert {option.name for option in describe()} == set(DOCS)
    assert [option.name for option in describe() if not option.doc] == []
    assert [o.name for o in describe() if o.name.endswith("_s") and o.unit != "s"] == []


def test_the_module_prints_the_table_of_the_reference_page() -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    argv = [sys.executable, "-W", "error", "-m", "im_client.settings"]
    printed = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60, check=True).stdout
    assert printed == reference() + "\n"
    assert printed in (ROOT / "docs/reference/settings.md").read_text(encoding="utf-8")


def test_the_address_of_the_database_is_the_first_line_of_its_file(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text("postgresql://ana:hunter2@host/im\n# more\n")
    file.chmod(0o600)
    overrides = {"database_url_file": "url"}
    settings = load_settings(overrides=overrides, environ={"HOME": str(tmp_path)}, cwd=tmp_path).value
    assert database_url(settings).reveal() == "postgresql://ana:hunter2@host/im"
    assert str(database_url(settings)) == "***"


@pytest.mark.parametrize(
    ("content", "mode", "more", "said"),
    [
        ("x", 0o604, {}, "can be read by others"),
        ("", 0o600, {}, "is empty"),
        ("x", 0o600, {"database_url": "postgresql://x"}, "are both set"),
        (None, 0o600, {}, "cannot read database_url_file"),
    ],
)
def test_a_file_of_the_address_that_does_not_serve_is_refused(
    tmp_path: Path, content: str | None, mode: int, more: dict[str, str], said: str
) -> None:
    file = tmp_path / "url"
    if content is not None:
        file.write_text(content)
        file.chmod(mode)
    overrides = {"database_url_file": str(file), **more}
    settings = load_settings(overrides=overrides, environ={"HOME": str(tmp_path)}, cwd=tmp_path).value
    with pytest.raises(Misconfigured, match=said):
        database_url(settings)

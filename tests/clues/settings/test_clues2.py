"""A configuration of CLUES as settings: what is taken over, what is said, what is refused."""

from pathlib import Path

import pytest

from clues.cli.importing import as_yaml, checked, write_new
from clues.settings import load_settings
from clues.settings.clues2 import import_folder
from infracore.errors import Conflict, Misconfigured, NotFound

GENERAL = """\
[general]
CONFIG_DIR=conf.d
LRMS_CLASS=cluesplugins.slurm
POWERMANAGER_CLASS=cluesplugins.{power}
CLUES_SECRET_TOKEN=x
DISABLED_HOSTS=wn3
[monitoring]
MAX_WAIT_POWERON=300
PERIOD_MONITORING_NODES=5
[scheduling]
IDLE_TIME=1800
RECONSIDER_JOB_TIME=60
EXTRA_NODES_FREE=1
RETRIES_POWER_ON=3
COOLDOWN_NODES=60
MAX_BOOTING_NODES=0
[hooks]
POWEREDON=/opt/site/on --quiet
PRE_POWEROFF=/usr/bin/kubectl drain --ignore-daemonsets
"""
HOSTS = "10.0.0.1 wn1\n10.0.0.2 wn2 # the second\n\n"


def folder(tmp_path: Path, power: str, more: str = "", hosts: str = HOSTS) -> Path:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "clues2.cfg").write_text(GENERAL.format(power=power))
    (tmp_path / "conf.d" / "power.cfg").write_text(more)
    (tmp_path / "machines.hosts").write_text(hosts)
    return tmp_path


def test_a_cluster_with_bmcs_becomes_valid_settings(tmp_path: Path) -> None:
    found = import_folder(folder(tmp_path, "ipmi", "[IPMI]\nIPMI_HOSTS_FILE=machines.hosts\n"
                                 'IPMI_CMDLINE_POWON=ipmitool -H %%%%a -U admin -P "" power on\n'))  # fmt: skip
    text = as_yaml(found, tmp_path)
    assert checked(text) == []
    path = tmp_path / "clues.yaml"
    write_new(path, text)
    settings = load_settings(environ={}, config=path).value
    assert (settings.cluster, settings.policy.unneeded_s, settings.policy.max_provision_s) == ("slurm", 1800, 300)
    assert (settings.policy.headroom.nodes, settings.policy.max_booting, settings.actions.attempts) == (1, None, 4)
    (pool,) = settings.pools
    assert [(m.name, m.address) for m in pool.machines] == [("wn1", "10.0.0.1"), ("wn2", "10.0.0.2")]
    assert pool.min_on_s == 60
    assert settings.drivers["ipmi"]["user"] == "admin"
    assert settings.hooks.poweredon.command == ("/opt/site/on", "--quiet")
    assert settings.daemon.dry_run
    said = "\n".join(found.left)
    for words in ("clues disable wn3", "CLUES_SECRET_TOKEN", "RECONSIDER_JOB_TIME", "PRE_POWEROFF", "password"):
        assert words in said
    with pytest.raises(Conflict):
        write_new(path, text)


def test_commands_keep_their_words(tmp_path: Path) -> None:
    found = import_folder(folder(tmp_path, "commandline", "[X]\nCOMMANDLINE_HOSTS_FILE=/etc/clues2/machines.hosts\n"
                                 "CMDLINE_POWON=/opt/on %%%%h %%a\nCMDLINE_POWOFF=/opt/off '%h'\n"))  # fmt: skip
    driver = found.settings["drivers"]["commandline"]
    assert (driver["on"], driver["off"]) == (["/opt/on", "{machine}", "{address}"], ["/opt/off", "{machine}"])
    assert checked(as_yaml(found, tmp_path)) == []


def test_virtual_machines_of_im_say_what_is_still_to_be_set(tmp_path: Path) -> None:
    found = import_folder(folder(tmp_path, "im", "[IM VIRTUAL CLUSTER]\nIM_VIRTUAL_CLUSTER_TOSCA=True\n"
                                 "IM_VIRTUAL_CLUSTER_REST_API=https://im.example\n"))  # fmt: skip
    driver = found.settings["drivers"]["im"]
    assert (driver["language"], driver["url"], driver["infrastructure"]) == ("tosca", "https://im.example", "SET-ME")
    assert any("INF_ID" in sentence for sentence in found.left)


@pytest.mark.parametrize("power", ["wol", "one", "unheard"])
def test_every_power_manager_is_taken_over_or_told(tmp_path: Path, power: str) -> None:
    found = import_folder(folder(tmp_path, power, "[W]\nWOL_HOSTS_FILE=nowhere.hosts\n"))
    assert ("drivers" in found.settings) == (power == "wol")
    assert found.left


def test_virtual_nodes_are_told_by_size(tmp_path: Path) -> None:
    (tmp_path / "kubernetes_vnodes.info").write_text('[{"name": "a", "cpu": 2, "memory": "4GB"}]')
    (tmp_path / "bad_vnodes.info").write_text("[1]")
    said = "\n".join(import_folder(folder(tmp_path, "im")).left)
    assert "1 nodes of cpu 2, memory 4GB" in said
    assert "bad_vnodes.info: it cannot be read" in said


def test_what_cannot_be_read_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"clues2\.cfg"):
        import_folder(tmp_path)
    (tmp_path / "clues2.cfg").write_text("no section\n")
    with pytest.raises(Misconfigured, match="cannot be read"):
        import_folder(tmp_path)
    (tmp_path / "clues2.cfg").write_bytes(b"\xff\xfe")
    with pytest.raises(Misconfigured, match="cannot be read"):
        import_folder(tmp_path)
    (tmp_path / "clues2.cfg").write_text("[scheduling]\nIDLE_TIME=soon\nMAX_BOOTING_NODES=-4\n")
    left = import_folder(tmp_path).left
    assert any("'soon' is no number" in sentence for sentence in left)
    assert any("out of range" in sentence for sentence in left)

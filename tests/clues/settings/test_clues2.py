"""A configuration of CLUES as settings: what is taken over, what is said, what is refused."""

from pathlib import Path

import pytest

from clues.cli.importing import as_yaml, checked, still_open, write_new
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
                                 "COMMANDLINE_CMDLINE_POWON=/opt/on %%%%h %%a\n[COMMANDLINE]\n"
                                 "CMDLINE_POWOFF=/opt/off '%h'\n"))  # fmt: skip
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


MACS = "52:54:00:00:00:01 wn1\n52:54:00:00:00:02 wn2\n"
OTHERS = {  # sorted as conf.d is read: each stands before or behind the one in use
    "a-ipmi.cfg": "[IPMI]\nIPMI_HOSTS_FILE=ipmi.hosts\nIPMI_CMDLINE_POWON=ipmitool -I lan -H %%a -U root power on\n"
    "IPMI_CMDLINE_POWOFF=ipmitool -H %%a power off\n",
    "b-wol.cfg": "[WOL]\nWOL_HOSTS_FILE=wol.hosts\nWOL_CMDLINE_POWON=ether-wake %%a\nWOL_CMDLINE_POWOFF=ssh %%h off\n",
    "c-line.cfg": "[COMMANDLINE]\nCOMMANDLINE_HOSTS_FILE=line.hosts\nCOMMANDLINE_CMDLINE_POWON=/opt/on %%h\n"
    "COMMANDLINE_CMDLINE_POWOFF=/opt/off %%h\n",
    "d-im.cfg": "[IM VIRTUAL CLUSTER]\nIM_VIRTUAL_CLUSTER_REST_API=https://im.example\nIM_VIRTUAL_CLUSTER_INF_ID=abc\n",
    "e-one.cfg": "[ONE VIRTUAL CLUSTER]\nONE_VIRTUAL_CLUSTER_HOSTS_FILE=one.hosts\n"
    "ONE_VIRTUAL_CLUSTER_TEMPLATE=\n  NAME=%%h\n  IP=%%a\n",
}


def crowded(tmp_path: Path, power: str) -> Path:
    """Make a folder with the files of every power manager, each with its own machines."""
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "clues2.cfg").write_text(GENERAL.format(power=power))
    for name, text in OTHERS.items():
        (tmp_path / "conf.d" / name).write_text(text)
    (tmp_path / "wol.hosts").write_text(MACS)
    for name in ("ipmi", "line", "one"):
        (tmp_path / f"{name}.hosts").write_text(f"10.0.0.1 {name}1\n10.0.0.2 {name}2\n10.0.0.3 {name}3\n")
    return tmp_path


@pytest.mark.parametrize(
    ("power", "machines", "driver"),
    [
        ("ipmi", ["ipmi1", "ipmi2", "ipmi3"],
         {"type": "ipmi", "password": {"env": "IPMI_PASSWORD"}, "interface": "lan", "user": "root"}),
        ("wol", ["wn1", "wn2"], {"type": "wol"}),
        ("commandline", ["line1", "line2", "line3"],
         {"type": "command", "on": ["/opt/on", "{machine}"], "off": ["/opt/off", "{machine}"],
          "status": ["ping", "-c", "1", "-W", "2", "{machine}"]}),
        ("im", [], {"type": "im", "url": "https://im.example", "auth": {"file": "/usr/local/ec3/auth.dat"},
                    "state_file": "/var/lib/clues/im.json", "language": "radl", "infrastructure": "abc"}),
    ],
)  # fmt: skip
def test_only_the_power_manager_in_use_is_read(tmp_path: Path, power: str, machines: list[str], driver: object) -> None:
    found = import_folder(crowded(tmp_path, power))
    assert found.settings["drivers"] == {power: driver}
    (pool,) = found.settings["pools"]
    assert [machine["name"] for machine in pool.get("machines", [])] == machines
    assert still_open(found, checked(as_yaml(found, tmp_path))) == []
    (note,) = [sentence for sentence in found.left if "not in use" in sentence]
    prefixes = {"IPMI": "ipmi", "WOL": "wol", "COMMANDLINE": "commandline", "IM_VIRTUAL_CLUSTER": "im",
                "ONE_VIRTUAL_CLUSTER": "one"}  # fmt: skip
    assert {prefix for prefix in prefixes if f"{prefix} (" in note} == {
        p for p, kind in prefixes.items() if kind != power
    }
    assert not [sentence for sentence in found.left if "no such setting" in sentence]


@pytest.mark.parametrize("power", ["one", "onetemplate", ""])
def test_without_a_driver_here_no_machines_of_others_are_taken(tmp_path: Path, power: str) -> None:
    found = import_folder(crowded(tmp_path, power))
    assert "pools" not in found.settings
    assert not [sentence for sentence in found.taken if "machines" in sentence]
    assert len([sentence for sentence in found.left if "not in use" in sentence]) == 1


def test_an_address_where_a_mac_is_needed_is_one_error_with_file_and_line(tmp_path: Path) -> None:
    place = crowded(tmp_path, "wol")
    (place / "wol.hosts").write_text("# card name\n52:54:00:00:00:01 wn1\n10.0.0.2 wn2\nwn3\n")
    for cluster in ("slurm", "kubernetes"):  # of which the second wants for more
        (place / "clues2.cfg").write_text(GENERAL.format(power="wol").replace("slurm", cluster))
        found = import_folder(place)
        with pytest.raises(Misconfigured) as caught:
            still_open(found, checked(as_yaml(found, place)))
        told = [line.partition("; write ")[0] for line in caught.value.message.splitlines()]
        assert told == [
            f"{place}/wol.hosts:3: pool workers: machine wn2: '10.0.0.2' is no MAC address",
            f"{place}/wol.hosts:4: pool workers: machine wn3: '' is no MAC address",
        ]


@pytest.mark.parametrize(
    ("power", "file", "text", "said"),
    [
        ("ipmi", "ipmi.hosts", "10.0.0.1 n1\nn2\n", "ipmi.hosts:2: pool workers: machine n2: it has no address"),
        ("ipmi", "ipmi.hosts", "10.0.0.1 n[1-\n", "ipmi.hosts:1: "),
        ("ipmi", "ipmi.hosts", "10.0.0.1 _n1\n", "ipmi.hosts:1: pool workers: machine '_n1': "),
        ("commandline", "conf.d/c-line.cfg", "[COMMANDLINE]\nCOMMANDLINE_HOSTS_FILE=line.hosts\n\n"
         "COMMANDLINE_CMDLINE_POWON = /opt/on '%%h\nCOMMANDLINE_CMDLINE_POWOFF=/opt/off\n", "c-line.cfg:4: "),
        ("commandline", "clues2.cfg", "[general]\nTIMEOUT_COMMANDS=9999\nLRMS_CLASS=slurm\n"
         "POWERMANAGER_CLASS=commandline\n", "clues2.cfg:2: drivers.commandline.call_s: 9999"),
        ("im", "conf.d/d-im.cfg", "[IM VIRTUAL CLUSTER]\n# where\nIM_VIRTUAL_CLUSTER_REST_API=im.example\n",
         "d-im.cfg:3: drivers.im.url: "),
        ("im", "conf.d/d-im.cfg", "[IM VIRTUAL CLUSTER]\nIM_VIRTUAL_CLUSTER_INF_ID=a b\n",
         "d-im.cfg:2: drivers.im.infrastructure: "),
    ],
)  # fmt: skip
def test_a_value_that_can_be_no_setting_is_named_by_its_place(
    tmp_path: Path, power: str, file: str, text: str, said: str
) -> None:
    place = crowded(tmp_path, power)
    (place / file).write_text(text)
    found = import_folder(place)
    with pytest.raises(Misconfigured) as caught:
        still_open(found, checked(as_yaml(found, place)))
    (line,) = caught.value.message.splitlines()
    assert f"{place}/{Path(file).parent / said}".replace("/./", "/") in line


def test_an_option_of_the_own_section_goes_before_one_that_was_moved(tmp_path: Path) -> None:
    place = crowded(tmp_path, "ipmi")
    (place / "conf.d" / "z-old.cfg").write_text("[OLD]\nIPMI_HOSTS_FILE=line.hosts\n")
    (pool,) = import_folder(place).settings["pools"]
    assert [machine["name"] for machine in pool["machines"]] == ["ipmi1", "ipmi2", "ipmi3"]

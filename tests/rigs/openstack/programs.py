"""Debian's packages of OpenStack: which ones, whether they are there, and how their programs are run.
Libraries and settings only, as far as there are such packages: those with the services would start them at once.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path

from tests.rigs.openstack.settings import Places

__all__ = ["PACKAGES", "Program", "broker", "environment", "keystone", "missing", "python", "web"]

PACKAGES = (
    "python3-keystone",
    "python3-placement",
    "placement-common",
    "python3-glance",
    "glance-common",
    "python3-neutron",
    "neutron-common",
    "python3-nova",
    "nova-common",
    "python3-cinder",
    "cinder-common",
    "python3-pymysql",
    "uwsgi-core",
    "uwsgi-plugin-python3",
    "mariadb-server-core",
    "mariadb-client-core",
    "rabbitmq-server",
    "erlang-base",  # with the next, what these bring along and scripts/install-packages.sh keeps from starting
    "open-iscsi",
)
_PATH = "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
_LIBRARIES = Path("/usr/lib/python3/dist-packages")
_OWN = Path(__file__).parent / "debian"

Program = list[str | Path]


def missing() -> str:
    """Return what is not installed; nothing where all is."""
    programs = ("mariadbd", "mariadb-install-db", "mariadb", "uwsgi", "nova-manage", "neutron-db-manage")
    found = [name for name in programs if shutil.which(name, path=_PATH) is None]
    libraries = ("keystone", "placement", "glance", "neutron", "nova", "cinder", "pymysql")
    found += [f"python3-{name}" for name in libraries if not (_LIBRARIES / name).is_dir()]
    found += [] if _brokers() else ["rabbitmq-server"]
    return f"not installed: {', '.join(found)} (`make test-openstack` installs them)" if found else ""


def environment(places: Places) -> Mapping[str, str]:
    """Return the environment of all of them: nothing of ours but what they need."""
    etc = places.folder / "etc"
    return {
        "PATH": _PATH,
        "HOME": str(places.folder),
        "LC_ALL": "C.UTF-8",
        "PYTHONPATH": f"{places.folder / 'plugins'}:{_OWN}",
        "PYTHONWARNINGS": "ignore",
        "PYTHONUNBUFFERED": "1",
        "OS_KEYSTONE_CONFIG_DIR": str(etc / "keystone"),
        "OS_KEYSTONE_CONFIG_FILES": "keystone.conf",
        "OS_PLACEMENT_CONFIG_DIR": str(etc / "placement"),
        "OS_GLANCE_CONFIG_DIR": str(etc / "glance-api"),
        "OS_NOVA_CONFIG_DIR": str(etc / "nova"),
        "OS_NEUTRON_CONFIG_DIR": str(etc / "neutron"),
        "OS_NEUTRON_CONFIG_FILES": "neutron.conf",
        "RIG_ISSUER": places.issuer,
        "RIG_ISSUER_KEY": str(places.issuer_key),
    }


def python(places: Places, service: str, function: str, *words: str) -> Program:
    """Return the command of a function of a service, such as `nova.cmd.compute:main`."""
    return ["/usr/bin/python3", _OWN / "run.py", function, "--config-file", places.conf(service), *words]


def web(places: Places, name: str, script: Path | str, threads: int, words: str = "") -> Program:
    """Return the command that serves an API.

    A connection is closed after each answer: uwsgi keeps none open, and clients that expect it see a broken pipe.
    """
    uwsgi: Program = ["/usr/bin/uwsgi", "--plugin", "python3", "--http-socket", f"127.0.0.1:{places.ports[name]}"]
    uwsgi += ["--wsgi-file", script, "--need-app", "--master", "--lazy-apps", "--processes", "1"]
    uwsgi += ["--threads", str(threads), "--enable-threads", "--buffer-size", "65535", "--die-on-term"]
    uwsgi += ["--add-header", "Connection: close", "--disable-logging", "--log-5xx"]
    return [*uwsgi, "--pyargv", words] if words else uwsgi


def keystone() -> Path:
    """Return keystone's program, which checks tokens of the issuer, too."""
    return _OWN / "rig_keystone.py"


def broker(places: Places) -> tuple[Program, Mapping[str, str]]:
    """Return RabbitMQ's command and environment: with an epmd of its own, and one Erlang scheduler."""
    home = places.folder / "var" / "rabbit"
    home.mkdir(parents=True)
    env = {
        "HOME": str(home),
        "RABBITMQ_NODENAME": "rig@localhost",
        "RABBITMQ_MNESIA_BASE": str(home / "mnesia"),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_CONFIG_FILE": str(places.folder / "etc" / "rabbit.conf"),
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        "RABBITMQ_ENABLED_PLUGINS_FILE": "/dev/null",
        "RABBITMQ_DIST_PORT": str(places.ports["rabbit-cluster"]),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_EPMD_PORT": str(places.ports["epmd"]),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": ("+S 1:1 +sbwt none -kernel inet_dist_use_interface {127,0,0,1}"),
    }
    return [_brokers()[-1]], env


def _brokers() -> list[Path]:
    # the command in /usr/sbin runs as root or rabbitmq only
    return sorted(Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*/sbin/rabbitmq-server"))

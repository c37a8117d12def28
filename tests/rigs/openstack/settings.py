"""The settings files of the services, as Debian 12 has these (OpenStack Zed); newer ones read them, too."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["DATABASES", "NAMES", "SERVICE_PASSWORD", "Places", "write"]

DATABASES = ("keystone", "glance", "placement", "nova_api", "nova", "nova_cell0", "neutron", "cinder")
NAMES = ("keystone", "placement", "glance", "neutron", "nova", "cinder", "rabbit", "rabbit-cluster", "epmd", "issuer")
SERVICE_PASSWORD = "loopback-service"
_Section = Mapping[str, object]


@dataclass(frozen=True)
class Places:
    """Where everything is: one folder, and a port of 127.0.0.1 for each of `NAMES`."""

    folder: Path
    ports: Mapping[str, int]

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}"

    @property
    def identity(self) -> str:
        return f"{self.url('keystone')}/v3"

    @property
    def issuer(self) -> str:
        return f"{self.url('issuer')}/auth/realms/egi"

    @property
    def issuer_key(self) -> Path:
        return self.folder / "issuer.pub"

    @property
    def socket(self) -> Path:
        """MariaDB's."""
        return self.folder / "my.sock"

    def database(self, name: str) -> str:
        return f"mysql+pymysql://root@localhost/{name}?unix_socket={self.socket}&charset=utf8mb4"

    def conf(self, service: str) -> Path:
        return self.folder / "etc" / service / f"{service}.conf"


def write(places: Places) -> None:
    """Write one file for each service, and the broker's."""
    makers = {
        "keystone": _keystone,
        "placement": _placement,
        "glance-api": _glance,
        "neutron": _neutron,
        "nova": _nova,
        "cinder": _cinder,
    }
    for name, make in makers.items():
        path = places.conf(name)
        path.parent.mkdir(parents=True)
        path.write_text(_ini(make(places)))
        path.chmod(0o600)
    for service, name in (("glance-api", "glance-api-paste.ini"), ("nova", "api-paste.ini")):  # sought beside their own
        shutil.copy(Path("/usr/share") / f"{service.removesuffix('-api')}-common" / name, places.conf(service).parent)
    lines = [
        f"listeners.tcp.1 = 127.0.0.1:{places.ports['rabbit']}",
        "disk_free_limit.absolute = 50MB",
        "vm_memory_high_watermark.absolute = 512MB",
    ]
    (places.folder / "etc" / "rabbit.conf").write_text("\n".join([*lines, ""]))
    parts = places.folder / "plugins" / "im_clues_rig-1.dist-info"
    parts.mkdir(parents=True)
    (parts / "METADATA").write_text("Metadata-Version: 2.1\nName: im-clues-rig\nVersion: 1\n")
    (parts / "entry_points.txt").write_text("[neutron.ml2.mechanism_drivers]\nrig = rig_ports:RigMechanism\n")


def _ini(sections: Mapping[str, _Section]) -> str:
    text = ""
    for name, values in sections.items():
        lines = [f"{key} = {str(value).lower() if isinstance(value, bool) else value}" for key, value in values.items()]
        text += "\n".join([f"[{name}]", *lines, "", ""])
    return text


def _login(places: Places) -> dict[str, object]:
    return {
        "auth_url": places.identity,
        "auth_type": "password",
        "username": "service",
        "password": SERVICE_PASSWORD,
        "project_name": "service",
        "user_domain_name": "Default",
        "project_domain_name": "Default",
        "region_name": "RegionOne",
    }


def _shared(places: Places) -> dict[str, _Section]:
    """Return what all but keystone need."""
    return {
        "keystone_authtoken": {
            "www_authenticate_uri": places.identity,
            "service_token_roles": "service",
            "service_token_roles_required": True,
            "token_cache_time": 5,  # seconds until a revoked token is refused
            **_login(places),
        },
        "service_user": {"send_service_user_token": True, **_login(places)},
        "oslo_concurrency": {"lock_path": places.folder / "var" / "lock"},
        "oslo_policy": _POLICY,
    }


_POLICY = {"enforce_scope": False, "enforce_new_defaults": False}


def _database(places: Places, name: str) -> _Section:
    return {"connection": places.database(name), "max_pool_size": 5, "max_overflow": 20}


def _bus(places: Places) -> str:
    return f"rabbit://guest:guest@127.0.0.1:{places.ports['rabbit']}/"


def _keystone(places: Places) -> dict[str, _Section]:
    var = places.folder / "var" / "keystone"
    return {
        "DEFAULT": {"use_stderr": True, "public_endpoint": places.url("keystone"), "max_token_size": 4096},
        "database": _database(places, "keystone"),
        "cache": {"enabled": True, "backend": "dogpile.cache.memory"},  # or to check a token costs 0.2 s of processor
        "token": {"provider": "fernet", "expiration": 86400},
        "fernet_tokens": {"key_repository": var / "fernet"},
        "credential": {"key_repository": var / "credential"},
        "auth": {"methods": "password,token,application_credential,mapped,openid"},
        "openid": {"remote_id_attribute": "HTTP_OIDC_ISS"},
        "identity": {"password_hash_rounds": 4},
        "oslo_policy": _POLICY,
    }


def _placement(places: Places) -> dict[str, _Section]:
    return {
        "DEFAULT": {"use_stderr": True},
        "api": {"auth_strategy": "keystone"},
        "placement_database": _database(places, "placement"),
        **_shared(places),
    }


def _glance(places: Places) -> dict[str, _Section]:
    var = places.folder / "var" / "glance"
    return {
        "DEFAULT": {
            "use_stderr": True,
            "worker_self_reference_url": places.url("glance"),
            "enabled_backends": "files:file",
        },
        "database": _database(places, "glance"),
        "glance_store": {"default_backend": "files"},
        "files": {"filesystem_store_datadir": var / "images"},
        "os_glance_staging_store": {"filesystem_store_datadir": var / "staging"},
        "os_glance_tasks_store": {"filesystem_store_datadir": var / "tasks"},
        "paste_deploy": {"flavor": "keystone"},
        **_shared(places),
    }


def _neutron(places: Places) -> dict[str, _Section]:
    quotas = ("network", "subnet", "port", "router", "floatingip", "security_group", "security_group_rule")
    return {
        "DEFAULT": {
            "use_stderr": True,
            "state_path": places.folder / "var" / "neutron",
            "transport_url": _bus(places),
            "core_plugin": "ml2",
            "service_plugins": "router",
            "auth_strategy": "keystone",
            "api_paste_config": "/usr/share/neutron-common/api-paste.ini",
            "dhcp_agent_notification": False,
            "notify_nova_on_port_status_changes": True,
            "notify_nova_on_port_data_changes": True,
        },
        "database": _database(places, "neutron"),
        "quotas": {f"quota_{name}": 1000 for name in quotas},
        "ml2": {
            "type_drivers": "flat,vxlan",
            "tenant_network_types": "vxlan",
            "mechanism_drivers": "rig",
            "extension_drivers": "port_security",
        },
        "ml2_type_flat": {"flat_networks": "public"},
        "ml2_type_vxlan": {"vni_ranges": "1:1000"},
        "nova": _login(places),
        "placement": _login(places),
        **_shared(places),
    }


def _nova(places: Places) -> dict[str, _Section]:
    filters = (
        "ComputeFilter",
        "ComputeCapabilitiesFilter",
        "ImagePropertiesFilter",
        "ServerGroupAntiAffinityFilter",
        "ServerGroupAffinityFilter",
    )
    return {
        "DEFAULT": {
            "use_stderr": True,
            "host": "rig",
            "my_ip": "127.0.0.1",
            "state_path": places.folder / "var" / "nova",
            "transport_url": _bus(places),
            "compute_driver": "rig_machines.RigDriver",
            "allow_resize_to_same_host": True,
            "rpc_response_timeout": 180,
            "reserved_host_memory_mb": 0,
            "vif_plugging_is_fatal": False,
            "osapi_compute_listen": "127.0.0.1",
            "osapi_compute_listen_port": places.ports["nova"],
            "osapi_compute_workers": 1,
            "enabled_apis": "osapi_compute",
        },
        "api": {"auth_strategy": "keystone"},
        "conductor": {"workers": 1},
        "scheduler": {"workers": 1, "discover_hosts_in_cells_interval": 2},
        "filter_scheduler": {"enabled_filters": ",".join(filters)},
        "vnc": {"enabled": False},
        "quota": {"instances": 1000, "cores": 4000, "ram": 8_000_000},
        "glance": {"api_servers": places.url("glance")},
        "cinder": {"catalog_info": "volumev3::publicURL", **_login(places)},
        "api_database": _database(places, "nova_api"),
        "database": _database(places, "nova"),
        "placement": _login(places),
        "neutron": _login(places),
        **_shared(places),
    }


def _cinder(places: Places) -> dict[str, _Section]:
    var = places.folder / "var" / "cinder"
    return {
        "DEFAULT": {
            "use_stderr": True,
            "my_ip": "127.0.0.1",
            "host": "rig",
            "state_path": var,
            "transport_url": _bus(places),
            "auth_strategy": "keystone",
            "api_paste_config": "/usr/share/cinder-common/api-paste.ini",
            "resource_query_filters_file": "/etc/cinder/resource_filters.json",
            "enabled_backends": "rig",
            "default_volume_type": "rig",
            "glance_api_servers": places.url("glance"),
            "rootwrap_config": "/etc/cinder/rootwrap.conf",
        },
        "rig": {"volume_driver": "rig_volumes.RigVolumes", "volume_backend_name": "rig"},
        "coordination": {"backend_url": f"file://{var}/coordination"},
        "database": _database(places, "cinder"),
        "nova": {"interface": "public", **_login(places)},
        **_shared(places),
    }

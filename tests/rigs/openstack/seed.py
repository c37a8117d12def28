"""What a rig has when it is handed out: users, projects, quotas, images, flavors, networks, a volume type, a VO."""

from collections.abc import Mapping
from typing import Any

from tests.rigs.openstack.api import Api
from tests.rigs.openstack.issuer import VOS
from tests.rigs.openstack.settings import SERVICE_PASSWORD, Places

__all__ = ["FLAVORS", "IMAGES", "PASSWORD", "SMALL_QUOTA", "identity", "rest"]

PASSWORD = "loopback-only"
IMAGES: Mapping[str, tuple[str, str]] = {
    "debian-12": ("debian", "12"),
    "debian-11": ("debian", "11"),
    "ubuntu-22.04": ("ubuntu", "22.04"),
    "ubuntu-24.04": ("ubuntu", "24.04"),
    "rocky-9": ("rocky", "9"),
}
"""Distribution and version, which are the properties os_distro and os_version."""
FLAVORS: Mapping[str, tuple[int, int, int, Mapping[str, str]]] = {
    "m1.tiny": (1, 512, 1, {}),
    "m1.small": (1, 2048, 20, {}),
    "m1.medium": (2, 4096, 40, {}),
    "m1.large": (4, 8192, 80, {}),
    "m1.xlarge": (8, 16384, 160, {}),
    "c1.diskless": (2, 4096, 0, {}),
    "g1.gpu": (
        8,
        32768,
        100,
        {
            "resources:VGPU": "1",
            "Accelerator:Type": "GPU",
            "Accelerator:Number": "1",
            "Accelerator:Vendor": "NVIDIA",
            "Accelerator:Model": "A100",
        },
    ),
    "x1.nohost": (1, 1024, 1, {"resources:FPGA": "1"}),
    "x1.overquota": (5000, 1024, 1, {}),
}
"""Virtual processors, MiB of memory, GiB of disk, extra specifications.

There are four GPUs. `x1.nohost` ends in ERROR with NoValidHost, `x1.overquota` is refused with 403."""
SMALL_QUOTA = {"instances": 2, "cores": 4, "ram": 8192}
_SERVICES = {
    "compute": ("nova", "nova", "/v2.1"),
    "placement": ("placement", "placement", ""),
    "image": ("glance", "glance", ""),
    "network": ("neutron", "neutron", ""),
    "volumev3": ("cinder", "cinder", "/v3/%(project_id)s"),
}


def identity(admin: Api, places: Places) -> dict[str, str]:
    """Make the services, who uses them, and an application credential; return ids by name."""
    roles = {role["name"]: role["id"] for role in admin.get("identity", "/roles")["roles"]}
    for name in {"service", "member", "reader"} - roles.keys():
        roles[name] = admin.make("identity", "/roles", role={"name": name})["id"]

    def grant(project: str, user: str, *names: str) -> None:
        for name in names:
            admin.do("PUT", "identity", f"/projects/{project}/users/{user}/roles/{roles[name]}")

    ids = {}
    for name in ("service", "demo", "small"):
        project = {"name": name, "domain_id": "default"}
        ids[name] = admin.make("identity", "/projects", project=project)["id"]
    for name, password in (("service", SERVICE_PASSWORD), ("demo", PASSWORD)):
        user = {"name": name, "domain_id": "default", "password": password, "default_project_id": ids[name]}
        ids[f"user {name}"] = admin.make("identity", "/users", user=user)["id"]
    grant(ids["service"], ids["user service"], "admin", "service")
    for name in ("demo", "small"):
        grant(ids[name], ids["user demo"], "member", "reader")
    for kind, (name, port, path) in _SERVICES.items():
        service = admin.make("identity", "/services", service={"name": name, "type": kind})
        for interface in ("public", "internal"):
            endpoint = {"service_id": service["id"], "interface": interface, "region_id": "RegionOne"}
            admin.make("identity", "/endpoints", endpoint={**endpoint, "url": f"{places.url(port)}{path}"})
    _federation(admin, places, roles["member"], ids)
    return ids


def _federation(admin: Api, places: Places, member: str, ids: dict[str, str]) -> None:
    """Make a project for each VO, which its members enter by a token of the issuer, as at sites of EGI."""
    domain = admin.make("identity", "/domains", domain={"name": "egi.eu"})["id"]
    rules = []
    for vo in VOS:
        ids[vo] = admin.make("identity", "/projects", project={"name": vo, "domain_id": domain})["id"]
        group = admin.make("identity", "/groups", group={"name": vo, "domain_id": domain})["id"]
        admin.do("PUT", "identity", f"/projects/{ids[vo]}/groups/{group}/roles/{member}")
        entitlement = rf".*urn:mace:egi\.eu:group:{vo}:role=vm_operator#aai\.egi\.eu.*"
        remote = [
            {"type": "HTTP_OIDC_SUB"},
            {"type": "HTTP_OIDC_ISS", "any_one_of": [places.issuer]},
            {"type": "HTTP_OIDC_EDUPERSON_ENTITLEMENT", "regex": True, "any_one_of": [entitlement]},
        ]
        local = [{"user": {"type": "ephemeral", "name": "{0}"}}, {"group": {"id": group}}]
        rules.append({"local": local, "remote": remote})
    provider = {"enabled": True, "remote_ids": [places.issuer], "domain_id": domain}
    base = "/OS-FEDERATION"
    admin.do("PUT", "identity", f"{base}/mappings/egi", {"mapping": {"rules": rules}})
    admin.do("PUT", "identity", f"{base}/identity_providers/egi.eu", {"identity_provider": provider})
    protocol = {"protocol": {"mapping_id": "egi"}}
    admin.do("PUT", "identity", f"{base}/identity_providers/egi.eu/protocols/openid", protocol)


def rest(admin: Api, demo: Api, ids: Mapping[str, str]) -> None:
    """Make all that is not in keystone."""
    for name, (vcpus, ram, disk, specs) in FLAVORS.items():
        size = {"name": name, "vcpus": vcpus, "ram": ram, "disk": disk}
        flavor = admin.make("compute", "/flavors", flavor=size)["id"]
        if specs:
            admin.do("POST", "compute", f"/flavors/{flavor}/os-extra_specs", {"extra_specs": specs})
    for name, (distro, version) in IMAGES.items():
        _image(admin, name, {"os_distro": distro, "os_version": version})
    admin.do("PUT", "compute", f"/os-quota-sets/{ids['small']}", {"quota_set": SMALL_QUOTA})
    few = {"volumes": 2, "gigabytes": 20}
    admin.do("PUT", "volumev3", f"/os-quota-sets/{ids['small']}", {"quota_set": few})
    admin.do("PUT", "network", f"/v2.0/quotas/{ids['small']}", {"quota": {"floatingip": 1, "network": 1}})
    backend = {"name": "rig", "extra_specs": {"volume_backend_name": "rig"}}
    admin.make("volumev3", "/types", volume_type=backend)
    _networks(admin, demo, ids)


def _image(admin: Api, name: str, properties: Mapping[str, str]) -> None:
    image = {"name": name, "disk_format": "raw", "container_format": "bare", "visibility": "public", "min_disk": 1}
    made = admin.do("POST", "image", "/v2/images", {**image, "architecture": "x86_64", **properties})
    admin.do("PUT", "image", f"/v2/images/{made['id']}/file", bytes(65536))


def _networks(admin: Api, demo: Api, ids: Mapping[str, str]) -> None:
    outside = {"provider:network_type": "flat", "provider:physical_network": "public", "router:external": True}
    public = _network(admin, {"name": "public", **outside})
    pool = {"start": "203.0.113.10", "end": "203.0.113.250"}
    _subnet(admin, public, "203.0.113.0/24", enable_dhcp=False, allocation_pools=[pool])
    private = _network(demo, {"name": "private"})
    subnet = _subnet(demo, private, "10.99.0.0/24")
    gateway = {"name": "router", "external_gateway_info": {"network_id": public}}
    router = demo.make("network", "/v2.0/routers", router=gateway)["id"]
    demo.do("PUT", "network", f"/v2.0/routers/{router}/add_router_interface", {"subnet_id": subnet})
    for name in ("small", *VOS):  # as an administrator of a site does
        network = _network(admin, {"name": f"{name}-net", "project_id": ids[name]})
        _subnet(admin, network, "10.98.0.0/24", project_id=ids[name])


def _network(api: Api, network: Mapping[str, Any]) -> str:
    return str(api.make("network", "/v2.0/networks", network=network)["id"])


def _subnet(api: Api, network: str, cidr: str, **more: Any) -> str:
    subnet = {"network_id": network, "ip_version": 4, "cidr": cidr, **more}
    return str(api.make("network", "/v2.0/subnets", subnet=subnet)["id"])

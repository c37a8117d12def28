"""Of DigitalOcean's API v2: sizes, images, regions, account, keys, tags, droplets and their actions."""

from datetime import UTC, datetime
from typing import Any

from tests.rigs.small_clouds.server import TOKEN, Asked, SmallApi

__all__ = ["DigitalOcean"]


class DigitalOcean(SmallApi):
    """See `SmallApi`. `droplets` have tags; tags outlive them."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.limit = 25

    def answer(self, asked: Asked) -> tuple[int, Any]:
        if asked.headers.get("authorization") != f"Bearer {TOKEN}":
            return 401, {"id": "Unauthorized", "message": "Unable to authenticate you"}
        match asked.method, asked.path.removeprefix("/v2/").split("/"):
            case "GET", ["account"]:
                return 200, {"account": {"droplet_limit": self.limit, "status": "active"}}
            case "GET", ["regions"]:
                return self._page(asked, "regions", [_region("fra1"), _region("nyc3")])
            case "GET", ["sizes"]:
                return self._page(asked, "sizes", _SIZES)
            case "GET", ["images"]:
                images = [] if asked.query.get("private") else _IMAGES
                return self._page(asked, "images", images)
            case method, ["account", "keys", *rest]:
                return self._key(method, rest, asked)
            case "GET", ["tags"]:
                return self._page(asked, "tags", [self._tag(tag) for tag in sorted(self.tags)])
            case "DELETE", ["tags", tag]:
                self.tags.discard(tag)
                return 204, None
            case "POST", ["droplets"]:
                return 202, {"droplet": self._make(asked.body)}
            case "GET", ["droplets"]:
                return self._page(asked, "droplets", [self._seen(one) for one in self.machines.values()])
            case _, ["droplets", number, *_] if number not in self.machines:
                return 404, {"id": "not_found", "message": "The resource you requested could not be found."}
            case "GET", ["droplets", number]:
                return 200, {"droplet": self._seen(self.machines[number])}
            case "DELETE", ["droplets", number]:
                del self.machines[number]
                return 204, None
            case "POST", ["droplets", number, "actions"]:
                return self._act(self.machines[number], asked.body["type"])
        return 404, {"id": "not_found", "message": f"nothing at {asked.path}"}

    def _page(self, asked: Asked, key: str, items: list[Any]) -> tuple[int, Any]:
        at = int(asked.query.get("page", 1))
        last = -(-len(items) // self.page)
        links = {"pages": {"last": f"{self.url}{asked.path}?page={last}"}} if at < last else {}
        shown = items[(at - 1) * self.page : at * self.page]
        return 200, {key: shown, "links": links, "meta": {"total": len(items)}}

    def _key(self, method: str, rest: list[str], asked: Asked) -> tuple[int, Any]:
        if method == "GET":
            return self._page(asked, "ssh_keys", list(self.keys.values()))
        if method == "DELETE":
            return (204, None) if self.keys.pop(rest[0], None) else (404, {"id": "not_found", "message": "no key"})
        if any(key["public_key"] == asked.body["public_key"] for key in self.keys.values()):
            return 422, {"id": "unprocessable_entity", "message": "SSH Key is already in use on your account"}
        number = self.number()
        self.keys[str(number)] = key = {"id": number, "fingerprint": "f", **asked.body}
        return 201, {"ssh_key": key}

    def _tag(self, tag: str) -> dict[str, Any]:
        count = sum(tag in one["tags"] for one in self.machines.values())
        return {"name": tag, "resources": {"count": count}}

    def _make(self, body: dict[str, Any]) -> dict[str, Any]:
        number = self.number()
        size = next(size for size in _SIZES if size["slug"] == body["size"])
        self.tags |= set(body["tags"])
        networks = [
            {"ip_address": f"10.114.0.{number}", "type": "private"},
            {"ip_address": f"203.0.113.{number}", "type": "public"},
        ]
        self.machines[str(number)] = made = {
            "id": number,
            "name": body["name"],
            "status": "new",
            "locked": False,
            "created_at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            "memory": size["memory"],
            "vcpus": size["vcpus"],
            "disk": size["disk"],
            "size": size,
            "size_slug": size["slug"],
            "image": next(image for image in _IMAGES if body["image"] in {image["slug"], image["id"]}),
            "networks": {"v4": networks, "v6": []},
            "region": _region(body["region"]),
            "tags": body["tags"],
        }
        return {**made, "networks": {"v4": [], "v6": []}}

    def _seen(self, one: dict[str, Any]) -> dict[str, Any]:
        if one["status"] == "new":
            one["status"] = "active"
        return one

    def _act(self, one: dict[str, Any], kind: str) -> tuple[int, Any]:
        if (kind, one["status"]) in {("power_on", "active"), ("shutdown", "off")}:
            return 422, {"id": "unprocessable_entity", "message": "Droplet is already so."}
        one["status"] = {"power_on": "active", "shutdown": "off"}.get(kind, one["status"])
        return 201, {"action": {"id": self.number(), "status": "in-progress", "type": kind}}


def _region(slug: str) -> dict[str, Any]:
    return {"slug": slug, "name": slug, "available": True, "features": []}


def _size(slug: str, vcpus: int, memory: int, disk: int, hourly: float, **more: Any) -> dict[str, Any]:
    base = {"slug": slug, "vcpus": vcpus, "memory": memory, "disk": disk, "price_hourly": hourly, "transfer": 1.0}
    return {**base, "price_monthly": hourly * 672, "regions": ["fra1", "nyc3"], "available": True, **more}


def _image(number: int, slug: str, distribution: str, name: str) -> dict[str, Any]:
    base = {"id": number, "slug": slug, "distribution": distribution, "name": name, "public": True}
    return {
        **base,
        "regions": ["fra1"],
        "min_disk_size": 7,
        "created_at": "2026-01-01T00:00:00Z",
        "status": "available",
    }


_SIZES = [
    _size("s-1vcpu-1gb", 1, 1024, 25, 0.00893),
    _size("s-2vcpu-4gb", 2, 4096, 80, 0.03571),
    _size("gpu-h100x1-80gb", 20, 245760, 720, 3.39, gpu_info={"count": 1, "model": "nvidia_h100"}),
    _size("s-1vcpu-512mb-10gb", 1, 512, 10, 0.00595, regions=["nyc3"]),
]
_IMAGES = [
    _image(1, "debian-12-x64", "Debian", "12 x64"),
    _image(2, "ubuntu-24-04-x64", "Ubuntu", "24.04 (LTS) x64"),
    _image(3, "fedora-42-x64", "Fedora", "42 x64"),
]

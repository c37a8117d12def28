"""Machine images: by id, by name of accounts that are trusted, or the distributions' own."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from im_client.providers.cloud.base import USER_MARK
from im_client.providers.cloud.choose import system_of
from im_client.providers.cloud.model import CloudImage, ImageQuery
from im_client.providers.ec2.client import Client
from im_client.providers.ec2.marks import tags_of
from im_client.providers.ec2.settings import Ec2Settings

__all__ = ["image_of", "images", "root_of"]

_GIB: Final = 2**30
_OFFICIAL: Final[Mapping[str, tuple[str, str, str]]] = {
    "debian": ("136693071363", "debian-*", "admin"),
    "ubuntu": ("099720109477", "ubuntu/images/hvm-ssd*/ubuntu-*-server-*", "ubuntu"),
    "centos": ("125523088429", "CentOS *", "ec2-user"),
    "fedora": ("125523088429", "Fedora-Cloud-Base-*", "fedora"),
    "rocky": ("792107900819", "Rocky-*-EC2-Base-*", "rocky"),
    "alma": ("764336703387", "AlmaLinux OS *", "ec2-user"),
    "rhel": ("309956199498", "RHEL-*_HVM-*", "ec2-user"),
}
"""Distribution -> the account that publishes it, its images' names, and their account. From each one's own pages on
cloud images. Whoever makes an image public may give it any name, so that names count only with an owner."""
_DEFAULT: Final = "debian"
_ARCHITECTURES: Final = {"x86_64": "x86_64", "arm64": "arm64", "i386": "i386"}


def images(client: Client, settings: Ec2Settings, query: ImageQuery) -> tuple[list[CloudImage], dict[str, str]]:
    """List images that may fit, and which device each one's root disk is. One request."""
    found = client.call(
        "describe_images",
        allow={"InvalidAMIID.NotFound", "InvalidAMIID.Malformed", "InvalidAMIID.Unavailable"},
        **_asked(settings, query),
    )
    told = [one for one in (found or {}).get("Images", ()) if one.get("State", "available") == "available"]
    read = [image_of(one) for one in told]
    if not query.name and not query.version:
        newest = max((_number(image.version) for image in read), default=())
        read = [image for image in read if _number(image.version) == newest]
    return read, {one["ImageId"]: root_of(one)[0] for one in told}


def image_of(told: Mapping[str, Any]) -> CloudImage:
    """Read one image."""
    name = told.get("Name", "")
    distribution, version = system_of(name)
    official = _OFFICIAL.get(distribution)
    return CloudImage(
        id=told["ImageId"],
        name=name or told["ImageId"],
        created_at=_seconds(told.get("CreationDate", "")),
        os_type="windows" if str(told.get("Platform", "")).lower() == "windows" else "linux",
        distribution=distribution,
        version=version,
        architecture=told.get("Architecture", ""),
        user=official[2] if official and told.get("OwnerId") == official[0] else tags_of(told).get(USER_MARK, ""),
        min_disk_bytes=root_of(told)[1],
    )


def root_of(told: Mapping[str, Any]) -> tuple[str, int]:
    """Return the device of an image's root disk and the least size that it may have."""
    device = told.get("RootDeviceName") or "/dev/sda1"
    sizes = {
        one.get("DeviceName"): one.get("Ebs", {}).get("VolumeSize", 0) for one in told.get("BlockDeviceMappings", ())
    }
    return device, int(sizes.get(device) or 0) * _GIB


def _asked(settings: Ec2Settings, query: ImageQuery) -> dict[str, Any]:
    if query.name.startswith("ami-") and not set("*?[") & set(query.name):
        return {"ImageIds": [query.name]}  # an id is one image, whoever made it
    filters: dict[str, list[str]] = {"state": ["available"]}
    if query.name:
        owners = settings.owners or ("self", "amazon", *sorted({one[0] for one in _OFFICIAL.values()}))
        filters["name"] = [query.name]
    else:
        distribution = query.distribution or _DEFAULT
        official = _OFFICIAL.get(distribution)
        owners = settings.owners or (("self", official[0]) if official else ("self", "amazon"))
        filters["name"] = [official[1] if official else f"*{distribution}*"]
    if query.architecture or not query.name:
        wanted = query.architecture or "x86_64"
        filters["architecture"] = [_ARCHITECTURES.get(wanted, wanted)]
    return {"Owners": list(owners), "Filters": [{"Name": key, "Values": values} for key, values in filters.items()]}


def _seconds(text: object) -> float:
    if isinstance(text, datetime):
        return text.timestamp()
    try:
        return datetime.fromisoformat(str(text).replace("Z", "+00:00")).timestamp()
    except ValueError:
        return 0.0


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(word) for word in version.split(".") if word.isdigit())

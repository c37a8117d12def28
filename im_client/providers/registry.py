"""Providers by name, each imported when it is first asked for; and which lines of an auth file are for which."""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, Final, TypeVar

import msgspec

from im_client.auth.credentials import Credential
from im_client.providers.base import Provider
from im_client.providers.cloud.lent import Lent
from infracore.errors import InvalidUsage, Misconfigured

__all__ = ["cloud_of", "cloud_types", "decode_settings", "is_cloud", "line_of", "names", "places", "provider"]

_Settings = TypeVar("_Settings")


def decode_settings(name: str, settings: Mapping[str, Any], kind: type[_Settings]) -> _Settings:
    """Check a provider's settings.

    Raises:
        Misconfigured: an unknown key, or a value of the wrong type; the message names it.
    """
    try:
        return msgspec.convert(dict(settings), kind, strict=False)
    except msgspec.ValidationError as error:
        raise Misconfigured(
            f"the settings of the provider {name} are wrong: {error}", "run: im config show --origin"
        ) from error


def _local(settings: Mapping[str, Any]) -> Provider:
    from im_client.providers.local.choose import local_provider
    from im_client.providers.local.settings import LocalSettings

    return local_provider(decode_settings("local", settings, LocalSettings))


def _opened(module: str, settings: Mapping[str, Any]) -> Provider:
    """Call `open_provider(settings)` of a provider's module."""
    made: Provider = import_module(f"im_client.providers.{module}").open_provider(settings)
    return made


def _existing(settings: Mapping[str, Any]) -> Provider:
    return _opened("existing", settings)


def _libvirt(settings: Mapping[str, Any]) -> Provider:
    return _opened("libvirt", settings)


def _im(settings: Mapping[str, Any]) -> Provider:
    return _opened("im", settings)


_CLOUDS: Final[Mapping[str, tuple[str, ...]]] = {
    "azure": ("azure",),
    "cloudstack": ("cloudstack",),
    "digitalocean": ("digitalocean",),
    "ec2": ("ec2",),
    "egi": ("egi", "egiis"),
    "fake": ("fake", "dummy"),
    "gce": ("gce",),
    "linode": ("linode",),
    "openstack": ("openstack",),
    "vultr": ("vultr",),
}
"""Cloud -> the types of lines of an auth file that are for it, in lower case. Each is a module of this package with
`open_provider(settings, credentials, lent)`, or of its package `libcloud`."""

_LIBCLOUD: Final = frozenset({"azure", "cloudstack", "digitalocean", "gce", "linode", "vultr"})

_MANY: Final = frozenset({"egiis"})
"""Types of lines that stand for several places; their clouds' modules have `site_names(settings, credentials)`, and a
setting `site`."""

_MAKERS: Final[Mapping[str, Callable[[Mapping[str, Any]], Provider]]] = {
    "existing": _existing,
    "im": _im,
    "libvirt": _libvirt,
    "local": _local,
}


def names() -> tuple[str, ...]:
    """Return the providers that there are, sorted."""
    return tuple(sorted((*_MAKERS, *_CLOUDS)))


def is_cloud(name: str) -> bool:
    """Say whether a provider is a cloud, which is opened with credentials."""
    return name in _CLOUDS


def cloud_of(credential_type: str) -> str | None:
    """Return the cloud that an auth line of this type is for, None where it is for none."""
    return next((name for name, types in _CLOUDS.items() if credential_type.lower() in types), None)


def cloud_types() -> tuple[str, ...]:
    """Return the types of auth lines that are for a cloud, in lower case, sorted."""
    return tuple(sorted(kind for kinds in _CLOUDS.values() for kind in kinds))


def line_of(name: str, credentials: Sequence[Credential]) -> tuple[str, dict[str, str]] | None:
    """Return the cloud, and the settings, that a line of the auth file stands for; None: there is no such line.

    A name is the line's id; with a line for several places also `ID.PLACE`.
    """
    for line in credentials:
        cloud = cloud_of(line.type)
        if cloud is None or not line.id:
            continue
        if line.id == name:
            return cloud, {"credential": name}
        begins = f"{line.id}."
        if line.type.lower() in _MANY and name.startswith(begins) and name != begins:
            return cloud, {"credential": line.id, "site": name.removeprefix(begins)}
    return None


def places(name: str, settings: Mapping[str, Any], credentials: Sequence[Credential]) -> tuple[str, ...]:
    """Return the names of all places that a line of the auth file stands for, in order; none for one of one place.

    Raises:
        NotFound, Transient, Unauthorised, Misconfigured: they cannot be had.
    """
    line = next((one for one in credentials if one.id == name and one.type.lower() in _MANY), None)
    if line is None:
        return ()
    cloud = cloud_of(line.type)
    found = _module(str(cloud)).site_names({**settings, "credential": name}, (line,))
    return tuple(f"{name}.{place}" for place in found)


def provider(
    name: str,
    settings: Mapping[str, Any] | None = None,
    credentials: Sequence[Credential] = (),
    lent: Lent | None = None,
) -> Provider:
    """Open a provider with its section of the settings; a cloud also with the lines of the auth file.

    `lent` says that the lines are a caller's: no secret of this computer completes them (environment, files, login of
    the machine), and they lead where it allows.

    Raises:
        InvalidUsage: there is no provider of that name.
        Misconfigured: an unknown setting, or one of the wrong type; a cloud's library is missing.
        Unauthorised: a cloud has no credentials, or lent ones lead where they may not.
    """
    if name in _CLOUDS:
        return _opened_cloud(name, settings or {}, credentials, lent)
    maker = _MAKERS.get(name)
    if maker is None:
        raise InvalidUsage(f"there is no provider {name!r}", f"known: {', '.join(names())}")
    return maker(settings or {})


def _opened_cloud(
    name: str, settings: Mapping[str, Any], credentials: Sequence[Credential], lent: Lent | None
) -> Provider:
    mine = tuple(one for one in credentials if one.type.lower() in _CLOUDS[name])
    made: Provider = _module(name).open_provider(settings, mine, lent)
    return made


def _module(name: str) -> Any:
    try:
        return import_module(f"im_client.providers.{'libcloud.' if name in _LIBCLOUD else ''}{name}")
    except ModuleNotFoundError as error:
        raise Misconfigured(
            f"the provider {name} needs more packages ({error.name} is missing)",
            "pip install im-clues[clouds], or in a checkout: make venv",
        ) from error

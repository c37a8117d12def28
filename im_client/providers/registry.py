"""Providers by name, each imported when it is first asked for."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, Final, TypeVar

import msgspec

from im_client.providers.base import Provider
from infracore.errors import InvalidUsage, Misconfigured

__all__ = ["decode_settings", "names", "provider"]

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


def _fake(settings: Mapping[str, Any]) -> Provider:
    return _opened("fake", settings)


def _im(settings: Mapping[str, Any]) -> Provider:
    return _opened("im", settings)


_MAKERS: Final[Mapping[str, Callable[[Mapping[str, Any]], Provider]]] = {
    "existing": _existing,
    "fake": _fake,
    "im": _im,
    "local": _local,
}


def names() -> tuple[str, ...]:
    """Return the providers that there are, sorted."""
    return tuple(sorted(_MAKERS))


def provider(name: str, settings: Mapping[str, Any] | None = None) -> Provider:
    """Open a provider with its section of the settings.

    Raises:
        InvalidUsage: there is no provider of that name.
        Misconfigured: an unknown setting, or one of the wrong type.
    """
    maker = _MAKERS.get(name)
    if maker is None:
        raise InvalidUsage(f"there is no provider {name!r}", f"known: {', '.join(names())}")
    return maker(settings or {})

"""Logging of long-running programs: structlog to standard error, quiet by default, secrets masked.

Commands tell people what happens by events (`infracore.events`); this is for what nobody watches.
"""

import re
from collections.abc import Mapping, MutableMapping
from typing import Any, Final, TextIO

import msgspec
import structlog

from infracore.errors import Misconfigured
from infracore.secrets import MASK, Secret, redact

__all__ = ["configure_logs"]

_LEVELS: Final = ("debug", "info", "warning", "error")
_SECRET_NAME: Final = re.compile(r"passw(or)?d|passphrase|secret|token|private_?key|authori[sz]ation", re.IGNORECASE)


def configure_logs(
    stream: TextIO,
    *,
    level: str = "warning",
    as_json: bool = False,
    colours: bool = False,
    secrets: tuple[Secret, ...] = (),
) -> None:
    """Set up `structlog.get_logger()` for the whole process; called once, by a program's main.

    One line an entry: JSON for programs, or `time [level] event key=value` for people. A `Secret`, a value whose
    name says that it is secret, and every text of `secrets` (also within a traceback) come out as `***`.

    Raises:
        Misconfigured: there is no such level.
    """
    if level not in _LEVELS:
        raise Misconfigured(f"there is no log level {level!r}", f"there are: {', '.join(_LEVELS)}")

    def mask(_logger: Any, _method: str, entry: MutableMapping[str, Any]) -> Mapping[str, Any]:
        return {key: _masked(key, value, secrets) for key, value in entry.items()}

    render: Any = (
        structlog.processors.JSONRenderer(serializer=_json)
        if as_json
        else structlog.dev.ConsoleRenderer(colors=colours, pad_event_to=0, pad_level=False)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            mask,
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )


def _masked(name: str, value: Any, secrets: tuple[Secret, ...]) -> Any:
    if isinstance(value, Secret) or _SECRET_NAME.search(name):
        return MASK
    if isinstance(value, str):
        return redact(value, secrets)
    if isinstance(value, Mapping):
        return {redact(str(key), secrets): _masked(str(key), item, secrets) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_masked("", item, secrets) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return redact(str(value), secrets)


def _json(entry: Any, **_unused: Any) -> str:
    return msgspec.json.encode(entry).decode()

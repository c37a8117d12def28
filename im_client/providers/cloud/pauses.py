"""How long a cloud asks to wait."""

from collections.abc import Mapping

from infracore.retry import asked_pause_s

__all__ = ["retry_after_s"]


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return the pause that an answer asks for, whatever the case of its headers; None: it asks for none."""
    told = {name.lower(): value for name, value in headers.items()}
    return asked_pause_s(told.get("retry-after", ""), told.get("date", ""))

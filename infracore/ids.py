"""Identifiers: infrastructures, runs and the tokens by which orphans are found."""

import secrets
import uuid

__all__ = ["new_infrastructure_id", "new_run_id", "new_token"]


def new_infrastructure_id() -> str:
    """Return a fresh infrastructure id (UUID 4, as the Infrastructure Manager uses)."""
    return str(uuid.uuid4())


def new_run_id(now: float) -> str:
    """Return an id that sorts by time: whole milliseconds since the epoch in hex, and 32 random bits."""
    return f"{int(now * 1000):012x}-{secrets.token_hex(4)}"


def new_token() -> str:
    """Return the mark (80 random bits, lower-case hex) that a machine carries in its name or tags."""
    return secrets.token_hex(10)

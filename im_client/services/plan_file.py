"""Plans in files: `im plan --out FILE`, later `im deploy FILE`.

The plan itself is readable JSON. What applying it needs besides (template, inputs: passwords among them) is
sealed with the key of the state folder, so that a plan is applied by who made it, or by who shares the state.
"""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Final

from im_client.plan.json import encode
from im_client.services.context import Context
from im_client.services.model import DeployRequest, Prepared, Verb
from im_client.services.prepare import prepare_deploy
from im_client.state.codec import decode_source, decode_values, encode_source, encode_values
from im_client.state.store import Budget
from infracore.errors import Conflict, InvalidUsage, Misconfigured

__all__ = ["is_plan_file", "prepare_from_plan", "save_plan"]

_FORMAT: Final = "im-plan-1"
_LIMIT: Final = 64 * 2**20


def save_plan(ctx: Context, prepared: Prepared, path: Path) -> None:
    """Write a plan of `im deploy` to a file of mode 0600, whole or not at all.

    Raises:
        Misconfigured: the file cannot be written.
    """
    request = {
        "infrastructure": prepared.infrastructure.id,
        "name": prepared.infrastructure.name,
        "provider": prepared.infrastructure.provider,
        "configure": prepared.configure,
        "source": encode_source(prepared.source),
        "provider_settings": encode_values(prepared.infrastructure.provider_settings),
        "lease_s": prepared.lease_s,
        "budget": None if prepared.budget is None else asdict(prepared.budget),
    }
    whole = {
        "format": _FORMAT,
        "plan": json.loads(encode(prepared.plan)),
        "sealed": ctx.seal.close(json.dumps(request)).decode(),
    }
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as out:  # noqa: PTH123
            json.dump(whole, out, indent=1)
            out.flush()
            os.fsync(out.fileno())
        fresh.replace(path)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise Misconfigured(f"cannot write the plan to {path}: {error.strerror}") from error


def is_plan_file(path: Path) -> bool:
    """Tell a plan from a template by its first bytes."""
    try:
        with path.open("rb") as file:
            return f'"format": "{_FORMAT}"'.encode() in file.read(64)
    except OSError:
        return False


def prepare_from_plan(ctx: Context, path: Path) -> Prepared:
    """Read a saved plan, make it anew from the same template and today's state, and insist that they are equal.

    Raises:
        Conflict: state or machines have moved on. InvalidUsage: the file is damaged or another's.
    """
    try:
        with path.open("rb") as file:
            whole = json.loads(file.read(_LIMIT))
        sealed, plan = whole["sealed"], whole["plan"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InvalidUsage(f"{path} is not a plan that can be read: {error}", "make it again: im plan --out") from error
    try:
        request = json.loads(ctx.seal.open(str(sealed).encode()))
    except Misconfigured as error:
        raise InvalidUsage(
            f"{path} was made with another state folder's key, or was changed", "make it again: im plan --out"
        ) from error
    source = decode_source(request["source"])
    prepared = prepare_deploy(
        ctx,
        DeployRequest(
            template=source.template,
            add_ons=source.add_ons,
            name=request["name"],
            provider=request["provider"],
            provider_settings=decode_values(request["provider_settings"]),
            configure=request["configure"],
            lease_s=request.get("lease_s"),
            budget=Budget(**request["budget"]) if request.get("budget") else None,
        ),
        infrastructure_id=request["infrastructure"],
        source=source,
    )
    if json.loads(encode(prepared.plan)) != plan:
        raise Conflict(
            f"the plan in {path} no longer fits: the state or the machines of {request['name']} have moved on",
            "make it again: im plan --out",
        )
    if prepared.verb is not Verb.DEPLOY:
        raise InvalidUsage(f"{path} is not a plan of im deploy")
    return prepared

"""What a template asks of a board beyond processors and memory: model, serial, MAC, storage, power. Pure."""

import dataclasses
from collections.abc import Mapping
from typing import Final

from im_client.plan.model import Spec
from im_client.providers.raspberry_pi.boards import ClaimableBoard
from im_client.providers.raspberry_pi.models import parse_model
from infracore.errors import InfraError

__all__ = ["board_refusal", "in_our_words"]

_ARCHITECTURES: Final = {"aarch64": "arm64", "arm": "armhf", "armv7": "armhf", "armv7l": "armhf"}


def in_our_words(spec: Spec) -> Spec:
    """Return a spec whose architecture is called as the boards' is."""
    word = spec.architecture.lower() if spec.architecture else None
    return dataclasses.replace(spec, architecture=_ARCHITECTURES.get(word, word)) if word else spec


def board_refusal(one: ClaimableBoard, asked: Mapping[str, str]) -> str:
    """Return why a board is not the one that is asked for, "" where it may be."""
    board = one.board
    for key in ("serial", "mac"):
        wanted = asked.get(key, "").lower().replace("-", ":")
        has = getattr(board, key)
        if wanted and wanted != has and not (key == "serial" and has and has.endswith(wanted)):
            return f"its {key} is {has or 'not in the inventory'}, not {wanted}"
    wanted = asked.get("storage", "")
    if wanted and wanted != board.storage:
        return f"it boots from {board.storage}, not from {wanted}"
    wanted = asked.get("power", "")
    kind = one.power.kind if one.power is not None else "none"
    if wanted == "any" and one.power is None:
        return "nobody can switch its power"
    if wanted not in {"", "any", kind}:
        return f"its power is switched by {kind}, not by {wanted}"
    if asked.get("model"):
        if one.model is None:
            return "its model is not in the inventory"
        try:
            return one.model.refuses(parse_model(asked["model"]))
        except InfraError as error:
            return error.message
    return ""

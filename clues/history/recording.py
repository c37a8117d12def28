"""Recorded decisions: all that `decide` was given, and what it answered, in one file that can be repeated offline.

A file is zlib-compressed msgpack of `Recording`. 1,000 nodes with 10,000 pods take about 5 MB before compression and a
twentieth after it. It holds names, labels and requests of pods; no secrets: environment and volumes' contents are
never read.
"""

import zlib
from pathlib import Path
from typing import Final

import msgspec

from clues.decision import Decision, Memory
from clues.options import Policy, Pool
from clues.snapshot import NodeState, Snapshot
from infracore.errors import Misconfigured, NotFound

__all__ = ["Encoder", "Recording", "decode_recording", "encode_recording", "read_recording"]

_MOST_BYTES: Final = 1 << 30
_FORMAT: Final = 1


class Recording(msgspec.Struct, frozen=True):
    """One pass of `decide`."""

    program: str
    """Version that decided."""
    snapshot: Snapshot
    pools: tuple[Pool, ...]
    policy: Policy
    memory: Memory
    decision: Decision
    format: int = _FORMAT


class Encoder:
    """Makes the contents of recordings' files; what did not change since the last is not encoded anew.

    Nodes and pending pods are encoded one by one: a call that encodes 10,000 pods at once holds all other threads up
    for 10 to 20 ms.
    """

    def __init__(self) -> None:
        self._nodes: dict[str, tuple[NodeState, bytes]] = {}
        self._encoder = msgspec.msgpack.Encoder()

    def encode(self, recording: Recording) -> bytes:
        """Return the content of a recording's file."""
        encode, snapshot = self._encoder.encode, recording.snapshot
        nodes: dict[str, tuple[NodeState, bytes]] = {}
        for name, state in snapshot.nodes.items():
            known = self._nodes.get(name)
            nodes[name] = known if known is not None and known[0] is state else (state, encode(state))
        self._nodes = nodes
        picture = {name: getattr(snapshot, name) for name in snapshot.__struct_fields__}
        picture["nodes"] = {name: msgspec.Raw(content) for name, (_, content) in nodes.items()}
        picture["pending"] = [msgspec.Raw(encode(pod)) for pod in snapshot.pending]
        whole = {name: getattr(recording, name) for name in recording.__struct_fields__}
        return zlib.compress(encode({**whole, "snapshot": picture}), level=1)


def encode_recording(recording: Recording) -> bytes:
    """Return the content of a recording's file."""
    return Encoder().encode(recording)


def decode_recording(content: bytes, where: str = "the recording") -> Recording:
    """Read a recording's content.

    Raises:
        Misconfigured: it is none, is larger than 1 GiB, or another version wrote it.
    """
    try:
        opened = zlib.decompressobj()
        raw = opened.decompress(content, _MOST_BYTES)
        if opened.unconsumed_tail or not opened.eof:
            raise Misconfigured(f"{where} is cut off, or larger than 1 GiB")
        return msgspec.msgpack.decode(raw, type=Recording)
    except (zlib.error, msgspec.DecodeError, ValueError) as error:
        raise Misconfigured(
            f"{where} is not a recording that this version of clues reads: {error}",
            "recordings are *.clues in the folder `recordings` of daemon.state_dir",
        ) from error


def read_recording(path: Path) -> Recording:
    """Read a recording's file. Raises NotFound, Misconfigured."""
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise NotFound(f"there is no recording {path}") from error
    except OSError as error:
        raise Misconfigured(f"cannot read {path}: {error}") from error
    return decode_recording(content, str(path))

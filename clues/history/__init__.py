"""What cluesd remembers in one SQLite file and a folder of recordings: orders and their phases, machines, timers,
decisions, state changes, waiting times.

May import `decision`, `snapshot`, `options`, `model` and infracore. It decides nothing and calls no driver: `actions`
and `loop` write here, `loop` reads here when the daemon starts. Tests: `tests/clues/history/`.
"""

from clues.history.model import ActionKind, ActionRecord, MachineRecord, NodeChange, Phase, PodWait, Unwritable
from clues.history.recording import Recording, read_recording
from clues.history.store import History

__all__ = [
    "ActionKind",
    "ActionRecord",
    "History",
    "MachineRecord",
    "NodeChange",
    "Phase",
    "PodWait",
    "Recording",
    "Unwritable",
    "read_recording",
]

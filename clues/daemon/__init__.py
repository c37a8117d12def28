"""cluesd: the loop with everything around it: signals, systemd, leadership, metrics, events, and who may ask it.

May import all that lies below `api` and `cli`. `Daemon` is what `cluesd` runs; it implements nothing that decides or
acts. Tests: `tests/clues/daemon/`.
"""

from clues.daemon.daemon import Daemon, Parts

__all__ = ["Daemon", "Parts"]

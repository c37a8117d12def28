"""A process that writes nodes into a store: `python -m tests.im_client.state.writer FOLDER FIRST COUNT`.

Prints the name of each node once its write has returned.
"""

import sys
from pathlib import Path

from im_client.state.sqlite import SqliteStore
from tests.im_client.state.records import SEAL, node

if __name__ == "__main__":
    folder, first, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    store = SqliteStore(folder / "state.db", SEAL)
    for number in range(first, first + count):
        store.put_node(node(number))
        print(f"wn-{number}", flush=True)

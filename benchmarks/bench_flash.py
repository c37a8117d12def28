"""Writing an image to loop devices on this disk, against `dd`; packed streams, against their programs. Needs root.

Use: `python benchmarks/bench_flash.py [MIB]`. The image is 4096 MiB large unless said otherwise, 40 % of it mapped in
extents of 1 to 32 MiB. Each time is the least of three, taken in turns: others use the machine too. A card here is a
loop device over a file that is there already, as `dd` finds it. Packed images hold what images hold: this machine's
programs and libraries.
"""

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.report import Figure, emit, figure

MIB = 1 << 20
_ROUNDS = 3
_SHARE = 0.4
_FLASH = """
import json, sys, threading, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from benchmarks.report import peak_memory_mib
from im_client.flash.model import Target
from im_client.flash.streams import open_stream
from im_client.flash.write import write
verify, image, *cards = sys.argv[2:]
started = time.monotonic()
with open_stream(Path(image)) as stream:
    results = write(stream, [Target(c, Path(c)) for c in cards], cancel=threading.Event(), verify=verify == "yes")
took = time.monotonic() - started
assert all(r.error is None for r in results), results
print(json.dumps({"s": took, "mib": peak_memory_mib(), "written": results[0].written}))
"""
_UNPACK = """
import mmap, os, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from im_client.flash.streams import open_stream
before = os.times().user + os.times().system
block = memoryview(mmap.mmap(-1, 4 << 20))
started = time.monotonic()
with open_stream(Path(sys.argv[2])) as stream:
    while stream.read_into(block) == len(block):
        pass
took = time.monotonic() - started
times = os.times()
print(took, times.user + times.system + times.children_user + times.children_system - before)
"""


def _programs() -> Iterator[bytes]:
    """Yield blocks of 1 MiB of this machine's programs and libraries, from the begin again where they are too few."""
    rest = bytearray()
    while True:
        for path in sorted(Path("/usr/lib").rglob("*")):
            if path.is_symlink() or not path.is_file():
                continue
            rest += path.read_bytes()
            for at in range(0, len(rest) - MIB + 1, MIB):
                yield bytes(rest[at : at + MIB])
            del rest[: len(rest) // MIB * MIB]


def make_image(path: Path, size: int, share: float = _SHARE) -> list[tuple[int, int]]:
    """Write a sparse image and return its extents."""
    chance = random.Random(6)
    blocks = _programs()
    extents = []
    with path.open("wb") as file:
        file.truncate(size)
        at = mapped = 0
        while at < size:
            length = min(chance.randint(1, 32) * MIB, size - at)
            if at == 0 or mapped + length <= share * (at + length):
                extents.append((at, length))
                mapped += length
                for offset in range(at, at + length, MIB):
                    file.seek(offset)
                    file.write(next(blocks))
            at += length
        file.flush()
        os.fsync(file.fileno())
    return extents


@contextmanager
def loop_device(path: Path, size: int) -> Iterator[str]:
    """Yield a loop device over a file whose blocks are there."""
    with path.open("wb") as file:
        for _ in range(0, size, 8 * MIB):
            file.write(b"\xaa" * 8 * MIB)
        os.fsync(file.fileno())
    argv = ["losetup", "--find", "--show", "--direct-io=on", path]
    device = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()
    try:
        yield device
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


def drop_caches() -> None:
    """Let nothing be read from memory that should come from the disk."""
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3")


def timed(argv: list[str]) -> float:
    """Return how long a program takes."""
    started = time.monotonic()
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.monotonic() - started


def dd_mapped(image: Path, extents: list[tuple[int, int]], card: str) -> float:
    """Copy the mapped extents, one `dd` each, and wait for the disk once at the end."""
    common = [f"if={image}", f"of={card}", "bs=4M", "iflag=direct,skip_bytes,count_bytes", "oflag=direct,seek_bytes"]
    started = time.monotonic()
    for at, length in extents:
        timed(["dd", *common, f"skip={at}", f"seek={at}", f"count={length}", "conv=notrunc"])
    timed(["sync", card])
    return time.monotonic() - started


def dd_whole(image: Path, card: str) -> float:
    """Copy everything."""
    return timed(["dd", f"if={image}", f"of={card}", "bs=4M", "iflag=direct", "oflag=direct", "conv=fsync"])


def flash(image: Path, cards: list[str], *, verify: bool) -> tuple[float, float]:
    """Return seconds and MiB of a process that writes the cards."""
    argv = [sys.executable, "-c", _FLASH, str(Path(__file__).parents[1]), "yes" if verify else "no", str(image), *cards]
    said = json.loads(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)
    return said["s"], said["mib"]


def unpack(path: Path) -> tuple[float, float]:
    """Return seconds, and seconds of CPU, of reading a packed image through our streams; Python's start not counted."""
    argv = [sys.executable, "-c", _UNPACK, str(Path(__file__).parents[1]), str(path)]
    took, cpu = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.split()
    return float(took), float(cpu)


def alone(argv: list[str]) -> tuple[float, float]:
    """Return seconds, and seconds of CPU, of a program."""
    before = os.times()
    took = timed(argv)
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return took, used


def least(*actions: Callable[[], float]) -> list[float]:
    """Return the least time of each action, all taken in turns."""
    found = [float("inf")] * len(actions)
    for _ in range(_ROUNDS):
        for number, action in enumerate(actions):
            drop_caches()
            found[number] = min(found[number], action())
    return found


def cards(folder: Path, size: int) -> list[Figure]:
    """Measure one, two and four cards."""
    image = folder / "image"
    extents = make_image(image, size)
    memory: list[float] = []

    def ours(count: int, *, verify: bool) -> float:
        seconds, mib = flash(image, devices[:count], verify=verify)
        memory.append(mib)
        return seconds

    with ExitStack() as stack:
        devices = [stack.enter_context(loop_device(folder / f"card-{n}", size)) for n in range(4)]
        mapped, whole, one, read_back, two, four, parallel_2, parallel_4 = least(
            lambda: dd_mapped(image, extents, devices[0]),
            lambda: dd_whole(image, devices[0]),
            lambda: ours(1, verify=False),
            lambda: ours(1, verify=True),
            lambda: ours(2, verify=False),
            lambda: ours(4, verify=False),
            lambda: dd_at_once(image, extents, devices[:2]),
            lambda: dd_at_once(image, extents, devices),
        )
    share = sum(length for _, length in extents) / size
    return [
        figure("mapped share of the image", share, ""),
        figure("write one card", one, "s", limit=1.1 * mapped, peer=mapped, peer_name="dd of the mapped bytes"),
        figure("write one card", one, "s", limit=0.6 * whole, peer=whole, peer_name="dd of the whole image"),
        figure(
            "write and read back", read_back, "s", limit=2.0 * mapped, peer=mapped, peer_name="dd of the mapped bytes"
        ),
        figure("write two cards at once", two, "s", limit=1.2 * max(one, parallel_2), peer=one, peer_name="one card"),
        figure("two dd at once, as the disk allows", parallel_2, "s", peer=mapped, peer_name="one dd"),
        figure("write four cards at once", four, "s", limit=1.2 * max(one, parallel_4), peer=one, peer_name="one card"),
        figure("four dd at once, as the disk allows", parallel_4, "s", peer=mapped, peer_name="one dd"),
        figure("memory, four cards, the most", max(memory), "MiB", limit=200.0),
    ]


def dd_at_once(image: Path, extents: list[tuple[int, int]], devices: list[str]) -> float:
    """Copy the mapped extents to several devices at the same time: what the disk can take."""
    script = "import sys; sys.path.insert(0, sys.argv[1]); from benchmarks.bench_flash import dd_mapped; import json; "
    script += "from pathlib import Path; dd_mapped(Path(sys.argv[2]), json.loads(sys.argv[4]), sys.argv[3])"
    started = time.monotonic()
    running = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(Path(__file__).parents[1]), str(image), device, json.dumps(extents)]
        )
        for device in devices
    ]
    if any(child.wait() for child in running):
        raise SystemExit("dd failed")
    return time.monotonic() - started


def streams(folder: Path, size: int) -> list[Figure]:
    """Measure packed streams, by the clock and by CPU: the latter is what others on the machine disturb less."""
    found: list[Figure] = []
    sparse, full = folder / "sparse", folder / "full"
    make_image(sparse, size)
    make_image(full, size // 2, 1.0)
    for name, image, pack, program in (
        ("xz", sparse, ["xz", "-1", "-c"], ["xz", "-dc", "-T1"]),
        ("xz of several blocks", sparse, ["xz", "-1", "-c", "-T2", "--block-size=24MiB"], ["xz", "-dc", "-T0"]),
        ("zst", sparse, ["zstd", "-q", "-3", "-c"], ["zstd", "-qdc"]),
        ("zst of a full image", full, ["zstd", "-q", "-3", "-c"], ["zstd", "-qdc"]),
    ):
        path = folder / "packed"
        with path.open("wb") as file:
            subprocess.run([*pack, str(image)], check=True, stdout=file)
        theirs, ours = [float("inf")] * 2, [float("inf")] * 2
        for _ in range(_ROUNDS):
            theirs = [min(pair) for pair in zip(theirs, alone([*program, str(path)]), strict=True)]
            ours = [min(pair) for pair in zip(ours, unpack(path), strict=True)]
        for what, mine, peer in zip((f"unpack {name}", f"unpack {name}, CPU"), ours, theirs, strict=True):
            found.append(figure(what, mine, "s", limit=1.1 * peer, peer=peer, peer_name=" ".join(program)))
    return found


def main() -> int:
    """Measure cards, then streams."""
    if os.geteuid() != 0:
        raise SystemExit("bench_flash needs root")
    size = (int(sys.argv[1]) if len(sys.argv) > 1 else 4096) * MIB
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        figures = [*cards(Path(folder), size), *streams(Path(folder), size // 8)]
    notes = ["at once: the limit is 1.2 of one card, or of as many dd at once where this disk takes longer for those"]
    return emit("flash", figures, notes=notes)


if __name__ == "__main__":
    sys.exit(main())

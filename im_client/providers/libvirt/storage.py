"""Volumes of the pool: made, filled, listed and removed."""

import tempfile
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

from im_client.providers.libvirt.marks import checked, parsed
from im_client.providers.libvirt.virsh import Virsh, xml_file
from infracore.errors import Conflict, NotFound

__all__ = ["Storage"]

_CONSOLE_BYTES: Final = 64 * 1024


class Storage:
    """One pool."""

    def __init__(self, virsh: Virsh, pool: str, upload_s: float) -> None:
        self.pool = pool
        self._virsh = virsh
        self._upload_s = upload_s

    def names(self) -> list[str]:
        """List the volumes that the host knows of."""
        lines = self._virsh("vol-list", f"--pool={self.pool}").splitlines()
        return [line.split()[0] for line in lines if line.strip()]

    def refresh(self) -> None:
        """Have the host look at the pool's folder anew: for what other programs have written there."""
        self._virsh("pool-refresh", f"--pool={self.pool}")

    def folder(self) -> str:
        """Return the pool's folder on the host.

        Raises:
            NotFound: there is no such pool.
        """
        root = parsed(self._virsh("pool-dumpxml", f"--pool={self.pool}"), f"the pool {self.pool}")
        return root.findtext("target/path", "")

    def room(self) -> tuple[int, int]:
        """Return the pool's size and what is free of it, in bytes."""
        found = dict(
            line.split(":", 1) for line in self._virsh("pool-info", f"--pool={self.pool}", "--bytes").splitlines()
        )
        return int(found.get("Capacity", "0")), int(found.get("Available", "0"))

    def size(self, name: str) -> int:
        """Return how large a volume's disk is, in bytes."""
        root = parsed(self._virsh("vol-dumpxml", f"--pool={self.pool}", f"--vol={name}"), f"the volume {name}")
        return int(root.findtext("capacity", "0"))

    def format(self, name: str) -> str:
        """Return a volume's format, `qcow2` say."""
        root = parsed(self._virsh("vol-dumpxml", f"--pool={self.pool}", f"--vol={name}"), f"the volume {name}")
        element = root.find("target/format")
        return element.get("type", "raw") if element is not None else "raw"

    def path(self, name: str) -> str:
        """Return where a volume is on the host."""
        return self._virsh("vol-path", f"--pool={self.pool}", f"--vol={name}")

    def make(
        self, name: str, size: int, form: str, *, below: tuple[str, str] | None = None, keep: bool = False
    ) -> None:
        """Make a volume that only the host's QEMU may read; `below`: path on the host and format of its backing file.

        One that is there already is made anew, or left with `keep`.
        """
        root = ET.Element("volume")
        ET.SubElement(root, "name").text = checked(name)
        ET.SubElement(root, "capacity", unit="bytes").text = str(size)
        if form == "raw":
            ET.SubElement(root, "allocation").text = "0"
        target = ET.SubElement(root, "target")
        ET.SubElement(target, "format", type=form)
        ET.SubElement(ET.SubElement(target, "permissions"), "mode").text = "0600"
        if below is not None:
            backing = ET.SubElement(root, "backingStore")
            ET.SubElement(backing, "path").text = checked(below[0])
            ET.SubElement(backing, "format", type=below[1])
        with xml_file(ET.tostring(root, encoding="unicode")) as file:
            try:
                self._virsh("vol-create", f"--pool={self.pool}", f"--file={file}")
            except Conflict:
                if keep:
                    return
                self.remove(name)
                self._virsh("vol-create", f"--pool={self.pool}", f"--file={file}")

    def fill(self, name: str, content: Path) -> None:
        """Upload a file's bytes into a volume, holes left out. May be repeated."""
        words = (f"--pool={self.pool}", f"--vol={name}", f"--file={content}")
        self._virsh("vol-upload", *words, "--sparse", timeout_s=self._upload_s)

    def write(self, name: str, content: bytes) -> None:
        """Upload bytes, all of them, over what the volume holds."""
        with tempfile.NamedTemporaryFile() as file:
            file.write(content)
            file.flush()
            self._virsh("vol-upload", f"--pool={self.pool}", f"--vol={name}", f"--file={file.name}")

    def fetch(self, name: str, target: Path, *, length: int = 0) -> None:
        """Download a volume's bytes, holes left out; the first `length` if that is given."""
        words = [f"--pool={self.pool}", f"--vol={name}", f"--file={target}", "--sparse"]
        words += [f"--length={length}"] if length else []
        self._virsh("vol-download", *words, timeout_s=self._upload_s)

    def flatten(self, name: str, copy: str) -> None:
        """Let the host write a volume, with all that it stands on, into a raw one. One that is there is made anew."""
        self.remove(copy)
        root = ET.Element("volume")
        ET.SubElement(root, "name").text = checked(copy)
        ET.SubElement(root, "capacity", unit="bytes").text = str(self.size(name))
        ET.SubElement(root, "allocation").text = "0"
        target = ET.SubElement(root, "target")
        ET.SubElement(target, "format", type="raw")
        ET.SubElement(ET.SubElement(target, "permissions"), "mode").text = "0600"
        words = (f"--pool={self.pool}", f"--vol={name}", f"--inputpool={self.pool}")
        with xml_file(ET.tostring(root, encoding="unicode")) as file:
            self._virsh("vol-create-from", *words, f"--file={file}", timeout_s=self._upload_s)

    def read(self, name: str) -> bytes:
        """Return the bytes of a small volume."""
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder, "content")
            self._virsh("vol-download", f"--pool={self.pool}", f"--vol={name}", f"--file={target}")
            return target.read_bytes()

    def tail(self, name: str) -> bytes:
        """Return the end of a file in the pool's folder that another program writes; b"" where there is none."""
        self.refresh()
        try:
            offset = max(0, self.size(name) - _CONSOLE_BYTES)
            with tempfile.TemporaryDirectory() as folder:
                target = Path(folder, "end")
                words = (f"--pool={self.pool}", f"--vol={name}", f"--file={target}", f"--offset={offset}")
                self._virsh("vol-download", *words)
                return target.read_bytes()[-_CONSOLE_BYTES:]
        except NotFound:
            return b""

    def remove(self, name: str) -> None:
        """Remove a volume. Absent: succeeds."""
        try:
            self._virsh("vol-delete", f"--pool={self.pool}", f"--vol={name}")
        except NotFound:
            return

    def remove_all(self, prefix: str) -> None:
        """Remove all whose names begin so, files that another program has written too."""
        self.refresh()
        for name in self.names():
            if name.startswith(prefix):
                self.remove(name)

"""Our domains on the host."""

from typing import Final
from xml.etree import ElementTree as ET

from im_client.providers.libvirt.domain import PREFIX, Domain, read_domain
from im_client.providers.libvirt.marks import URI, Mark
from im_client.providers.libvirt.virsh import Virsh, xml_file
from infracore.errors import Conflict, NotFound, Unsupported

__all__ = ["Domains"]

_KEY: Final = "imc"


class Domains:
    """Define, look at, mark, undefine."""

    def __init__(self, virsh: Virsh) -> None:
        self._virsh = virsh

    def get(self, uuid: str) -> Domain:
        """Look at one.

        Raises:
            NotFound: there is none with this id, or it is not ours.
        """
        xml, state = self._virsh.each([["dumpxml", uuid], ["domstate", uuid, "--reason"]])
        if not xml or not state:  # which of the reasons it is, decides over life and death
            xml = self._virsh("dumpxml", f"--domain={uuid}")
            state = self._virsh("domstate", f"--domain={uuid}", "--reason")
        found = read_domain(xml, state)
        if found is None:
            raise NotFound(f"the domain {uuid} at {self._virsh.uri} is none of ours")
        return found

    def all(self) -> list[Domain]:
        """Look at all of ours; those that vanish meanwhile are left out."""
        lines = [line.split() for line in self._virsh("list", "--all", "--uuid", "--name").splitlines()]
        uuids = [words[0] for words in lines if len(words) == 2 and words[1].startswith(PREFIX)]
        asked = [words for uuid in uuids for words in (["dumpxml", uuid], ["domstate", uuid, "--reason"])]
        answers = self._virsh.each(asked)
        found = []
        for uuid, xml, state in zip(uuids, answers[::2], answers[1::2], strict=True):
            try:
                domain = read_domain(xml, state) if xml and state else self.get(uuid)
            except NotFound:
                continue
            if domain is not None:
                found.append(domain)
        return found

    def define(self, xml: str) -> None:
        """Store a domain, or change the one with this UUID."""
        with xml_file(xml) as file:
            self._virsh("define", f"--file={file}")

    def stored_xml(self, uuid: str) -> str:
        """Return what it is defined as, whatever runs now."""
        return self._virsh("dumpxml", f"--domain={uuid}", "--inactive")

    def put_mark(self, domain: Domain, mark: Mark) -> None:
        """Change the mark of a domain."""
        xml = ET.tostring(mark.element(""), encoding="unicode")
        words = (f"--domain={domain.uuid}", f"--uri={URI}", f"--key={_KEY}", f"--set={xml}", "--config")
        try:
            self._virsh("metadata", *words, *(("--live",) if domain.is_running else ()))
        except Conflict:  # it has ended meanwhile
            self._virsh("metadata", *words)

    def start(self, uuid: str) -> None:
        """Start it. One that runs: succeeds."""
        try:
            self._virsh("start", f"--domain={uuid}")
        except Conflict:
            if not self.get(uuid).is_running:
                raise

    def ask(self, command: str, uuid: str) -> None:
        """Ask for `shutdown`, `reboot` or `resume`."""
        self._virsh(command, f"--domain={uuid}", *(("--mode=acpi",) if command != "resume" else ()))

    def end(self, uuid: str) -> None:
        """Pull the plug. Absent or stopped: succeeds."""
        try:
            self._virsh("destroy", f"--domain={uuid}")
        except (Conflict, NotFound):
            return

    def undefine(self, uuid: str) -> None:
        """Forget it, with its NVRAM and saved state. Absent: succeeds."""
        words = (f"--domain={uuid}", "--managed-save", "--snapshots-metadata", "--nvram")
        try:
            try:
                self._virsh("undefine", *words)
            except Unsupported:
                self._virsh("undefine", f"--domain={uuid}")
        except NotFound:
            return

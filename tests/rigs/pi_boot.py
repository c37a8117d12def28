"""What a Raspberry Pi's firmware sends when it boots from the network: DHCP as a PXE client, then TFTP.

By the documentation of its bootloader: vendor class, option 43, option 97, the folder named by the serial number or the
MAC, and the root of the server where the first file is not in that folder.
"""

import contextlib
import selectors
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tests.rigs.namespace import Namespace, inside

__all__ = ["PI_3", "PI_4", "PI_5", "Booted", "Client", "Model", "Offer", "TftpError"]

_VENDOR = b"PXEClient:Arch:00000:UNDI:002001"
_COOKIE = b"\x63\x82\x53\x63"
_HEADER = struct.Struct("!4BIHH4s4s4s4s16s64s128s")
_BOOT = b"Raspberry Pi Boot"


@dataclass(frozen=True)
class Model:
    """What a model asks for."""

    first: tuple[str, ...]
    """Files from the root of the server."""
    stage: str
    """File that must be in the folder, or else the root is taken."""
    files: tuple[str, ...]
    guid: bytes = b""
    """First bytes of option 97; none: the serial number four times."""


PI_3 = Model(("bootcode.bin",), "start.elf", ("config.txt", "cmdline.txt", "kernel8.img"))
PI_4 = Model((), "start4.elf", ("config.txt", "cmdline.txt", "kernel8.img"), b"RPi4")
PI_5 = Model((), "config.txt", ("config.txt", "cmdline.txt", "kernel_2712.img"), b"RPi5")


@dataclass(frozen=True)
class Offer:
    """A DHCPOFFER or DHCPACK."""

    kind: int
    address: str
    next_server: str
    options: dict[int, bytes]

    @property
    def boots(self) -> bool:
        """Whether the firmware takes it for that of a boot server."""
        return _BOOT in self.options.get(43, b"")

    @property
    def server(self) -> str:
        return self.next_server if self.next_server != "0.0.0.0" else socket.inet_ntoa(self.options[54])


class TftpError(Exception):
    """The server has no such file."""


@dataclass
class Booted:
    """What was fetched, by its path on the server."""

    address: str
    server: str
    files: dict[str, bytes] = field(default_factory=dict)


class Client:
    """One board, or another machine, that boots in a namespace."""

    def __init__(self, machine: Namespace, mac: str, serial: str = "00000000") -> None:
        self.mac = bytes.fromhex(mac.replace(":", ""))
        self.serial = serial
        self._machine = machine
        with inside(machine):
            self._link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._link.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            self._link.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
            self._link.bind(("", 68))
            self._link.setblocking(False)

    def close(self) -> None:
        self._link.close()

    def discover(self, *, guid: bytes = b"", pxe: bool = True) -> None:
        """Send a DHCPDISCOVER."""
        self._send(1, guid, pxe=pxe)

    def offers(self, within_s: float = 15.0) -> Iterator[Offer]:
        """Yield answers as they come; ends when none has come for a while."""
        ends = time.monotonic() + within_s
        with selectors.DefaultSelector() as waiting:
            waiting.register(self._link, selectors.EVENT_READ)
            while (left := ends - time.monotonic()) > 0 and waiting.select(left):
                packet = self._link.recv(4096)
                if self._is_mine(packet):
                    yield _parse(packet)

    def pending(self) -> list[Offer]:
        """Return the answers that are there now."""
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                packet = self._link.recv(4096)
                if self._is_mine(packet):
                    found.append(_parse(packet))
        return found

    def _is_mine(self, packet: bytes) -> bool:
        """Answers are broadcast: those to others come here too."""
        return packet[28:34] == self.mac

    def boot(self, model: Model, prefix: str = "") -> Booted:
        """Get an address and a boot server, and fetch what the model fetches; `prefix` as the EEPROM has it."""
        guid = model.guid + b"\x11\x31\xc0\x00" + self.mac[2:] + bytes.fromhex(self.serial)
        self.discover(guid=guid if model.guid else bytes.fromhex(self.serial) * 4)
        address = server = ""
        is_given = False
        for offer in self.offers():
            if offer.address != "0.0.0.0" and not address:
                address = offer.address
                self._send(3, guid, wanted=offer)
            if offer.boots:
                server = offer.server
            is_given |= offer.kind == 5
            if server and is_given:
                break
        assert is_given, "no DHCP server gave an address"
        assert server, "no DHCP server sent option 43 with Raspberry Pi Boot"
        booted = Booted(address, server)
        with inside(self._machine), self._configured(address):
            for name in model.first:
                booted.files[name] = fetch(server, name)
            folder = f"{prefix or self.serial}/"
            try:
                fetch(server, folder + model.stage)
            except TftpError:
                folder = ""
            for name in (model.stage, *model.files):
                booted.files[folder + name] = fetch(server, folder + name)
        return booted

    @contextlib.contextmanager
    def _configured(self, address: str) -> Iterator[None]:
        import subprocess

        subprocess.run(["ip", "address", "add", f"{address}/24", "dev", "eth0"], check=True)
        try:
            yield
        finally:
            subprocess.run(["ip", "address", "flush", "dev", "eth0"], check=True)

    def _send(self, kind: int, guid: bytes, *, pxe: bool = True, wanted: Offer | None = None) -> None:
        options = [(53, bytes([kind])), (55, bytes([1, 3, 43, 60, 66, 67, 128, 129]))]
        if pxe:
            options += [(60, _VENDOR), (93, b"\0\0"), (94, b"\1\2\1"), (97, b"\0" + guid.ljust(16, b"\0")[:16])]
        if wanted is not None:
            options += [(50, socket.inet_aton(wanted.address)), (54, wanted.options[54])]
        none = b"\0" * 4
        header = _HEADER.pack(1, 1, 6, 0, 0x1234, 0, 0x8000, none, none, none, none, self.mac, b"", b"")
        packed = b"".join(bytes([number, len(value)]) + value for number, value in options)
        self._link.sendto((header + _COOKIE + packed + b"\xff").ljust(300, b"\0"), ("255.255.255.255", 67))


def _parse(packet: bytes) -> Offer:
    fields = _HEADER.unpack_from(packet)
    options: dict[int, bytes] = {}
    at = _HEADER.size + len(_COOKIE)
    while packet[at] != 255:
        if packet[at] == 0:
            at += 1
            continue
        number, size = packet[at], packet[at + 1]
        options[number] = options.get(number, b"") + packet[at + 2 : at + 2 + size]
        at += 2 + size
    return Offer(options[53][0], socket.inet_ntoa(fields[8]), socket.inet_ntoa(fields[9]), options)


def fetch(server: str, path: str) -> bytes:
    """Fetch a file by TFTP with the options `tsize` and `blksize`, as the firmware does (RFC 1350, 2347)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.settimeout(10)
        words: Sequence[str] = (path, "octet", "tsize", "0", "blksize", "1024")
        link.sendto(b"\0\1" + b"".join(word.encode() + b"\0" for word in words), (server, 69))
        data, block_size = b"", 512
        while True:
            packet, sender = link.recvfrom(4096)
            kind, number = struct.unpack("!2H", packet[:4])
            if kind == 5:
                raise TftpError(packet[4:].rstrip(b"\0").decode())
            if kind == 6:
                block_size, number = 1024, 0
            else:
                data += packet[4:]
            link.sendto(struct.pack("!2H", 4, number), sender)
            if kind == 3 and len(packet) - 4 < block_size:
                return data

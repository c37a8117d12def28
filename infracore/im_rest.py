"""The REST API of the Infrastructure Manager, as its clients use it: one request, its typed answer, its typed error.

Both products speak it: cluesd asks for machines by it, and `im` drives servers by it. Paths, content types and states
are those of IM 2.0 and of `im serve` (docs/reference/rest-operations.md).
"""

import ipaddress
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

import msgspec

from infracore.errors import (
    CommandFailed,
    Conflict,
    InfraError,
    InvalidUsage,
    Locked,
    Misconfigured,
    NoCapacity,
    NotFound,
    QuotaExceeded,
    TimedOut,
    Transient,
    Unauthorised,
    Unsupported,
)
from infracore.http import Http
from infracore.secrets import Secret, redact

__all__ = [
    "RADL",
    "TOSCA",
    "Body",
    "ImRest",
    "Said",
    "Vm",
    "authorization",
    "id_of",
    "more_machines",
    "names_of",
    "path_of",
    "uris",
    "vm_of",
    "vm_states",
]

RADL: Final = "text/plain"
TOSCA: Final = "text/yaml"
_MOST_WORDS: Final = 2000
_MOST_PROBLEMS: Final = 20
_DESCRIPTION: Final = re.compile(r"^\s*description\s+([\w.-]+)\s*\((.*?)\)\s*$", re.MULTILINE | re.DOTALL)
_FEATURE: Final = re.compile(r"\b(name|infrastructure)\s*=\s*'([^'\n]{1,200})'")
_ID: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.-]{0,127}")
_ADDRESS: Final = re.compile(r"[0-9A-Za-z_][0-9A-Za-z._:%-]{0,254}")
"""What may be an address: it becomes a word of ssh's and a variable of Ansible's, which would carry out `{{ }}`."""
_LONGEST_WAIT_S: Final = 60.0
"""However long a server asks to wait, it is asked again then."""
_OURS: Final[Mapping[str, type[InfraError]]] = {
    f"urn:im-clues:{kind.code}": kind for kind in (Unsupported, InvalidUsage, Locked, TimedOut, Unauthorised)
} | {"urn:im-clues:invalid-template": Misconfigured}
"""What our server says of its errors beside the status."""
_TRACE: Final = re.compile(r"^\s*File [<\"/]|\t\t")
_HIDDEN: Final = re.compile(r"pass|token|secret|key|proxy", re.IGNORECASE)
_VALUE: Final = re.compile(r"([A-Za-z_][\w.-]*)\s*=\s*(\"[^\"]*\"|'[^']*'|[^;\n]*)")


@dataclass(frozen=True, slots=True)
class Body:
    """What is sent: its content type is `TOSCA`, `RADL` or application/json."""

    text: str
    kind: str


@dataclass(frozen=True, slots=True)
class Said:
    """An answer of success: its JSON object, or its text where it is none."""

    headers: Mapping[str, str]
    data: Mapping[str, Any]
    text: str = ""
    status: int = 200

    def member(self, name: str) -> str:
        """Return a member that is text, "" where it is missing."""
        found = self.data.get(name)
        return found if isinstance(found, str) else ""


def authorization(text: str) -> Secret:
    """Return the header's value for an auth file: its lines joined by the two characters backslash and n.

    A JSON list is put into one line, `Bearer TOKEN` stays as it is.

    Raises:
        Misconfigured: it holds nothing, or what no header can.
    """
    if text.lstrip().startswith("["):
        try:
            said = json.dumps(json.loads(text))
        except ValueError as error:
            raise Misconfigured("the credentials are no JSON list") from error
    else:
        lines = [line.strip() for line in text.splitlines()]
        said = "\\n".join(line for line in lines if line and not line.startswith("#"))
    if not said or re.search(r"[\x00-\x1f\x7f]", said):
        raise Misconfigured("the credentials are empty, or hold control characters", "write one line for each cloud")
    return Secret(said)


class ImRest:
    """Asks one server. Safe under threads; a request blocks for its limit at most, and is sent once."""

    def __init__(self, http: Http, auth: Secret | None) -> None:
        self.http = http
        self._auth = auth

    def with_auth(self, auth: Secret) -> "ImRest":
        """Return a client of the same server with other credentials."""
        return ImRest(self.http, auth)

    def ask(
        self,
        method: str,
        path: str,
        *,
        limit_s: float,
        body: Body | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Said:
        """Send a request. Whether it may be repeated is the caller's to know: `Unheard` alone tells that it may.

        Raises:
            Unheard: it never arrived. TimedOut: no answer in time, perhaps it was done. Transient, Unauthorised,
            NotFound, Conflict, QuotaExceeded, NoCapacity, Unsupported, Misconfigured, CommandFailed: as the server
            says, in its words.
        """
        said = {"Accept": "application/json", **self._headers(), **(headers or {})}
        if body is not None:
            said["Content-Type"] = body.kind
        raw = body.text.encode() if body is not None else None
        answer = self.http.send(method, path, headers=said, body=raw, limit_s=limit_s)
        data: Any = None
        try:
            data = msgspec.json.decode(answer.body) if answer.body.strip() else {}
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            data = None
        text = "" if data else answer.body.decode(errors="replace")
        found = data if isinstance(data, dict) else {}
        if answer.status >= 300 or answer.status < 200:
            raise _error(answer.status, self._clean(text), self._cleaned(found), answer.headers)
        is_json = "json" in answer.headers.get("content-type", "")
        if data is None and is_json:
            raise Transient(f"{self.http.address} answered {method} {path} with broken JSON")
        return Said(answer.headers, found, text, answer.status)

    def events(self, path: str, *, limit_s: float, after: str = "") -> Iterator[tuple[str, str, Mapping[str, Any]]]:
        """Yield server-sent events (id, event, data) until the stream ends.

        Raises:
            As `Http.lines`.
        """
        said = {"Accept": "text/event-stream", **self._headers(), **({"Last-Event-ID": after} if after else {})}
        fields: dict[str, str] = {}
        for line in self.http.lines(path, headers=said, limit_s=limit_s):
            name, _, value = line.decode(errors="replace").partition(":")
            if line:
                fields[name] = value.removeprefix(" ")
                continue
            if "data" in fields:
                try:
                    data = msgspec.json.decode(fields["data"])
                except (msgspec.DecodeError, RecursionError) as error:
                    raise Transient(f"{self.http.address} sends an event that is no JSON") from error
                if isinstance(data, dict):
                    yield fields.get("id", ""), fields.get("event", ""), data
            fields = {}

    def _headers(self) -> dict[str, str]:
        # http.client writes latin-1: so UTF-8 arrives as it is
        return {} if self._auth is None else {"Authorization": self._auth.reveal().encode().decode("latin-1")}

    def _clean(self, text: str) -> str:
        """Hide what a server repeats of the credentials."""
        if self._auth is None:
            return text
        whole = self._auth.reveal()
        hidden = [Secret(whole), Secret(whole.removeprefix("Bearer "))]
        for name, value in _VALUE.findall(whole.replace("\\n", "\n")):
            if _HIDDEN.search(name):
                hidden.append(Secret(value.strip().strip("\"'")))
        return redact(text, hidden)

    def _cleaned(self, data: Mapping[str, Any]) -> Mapping[str, Any]:
        return {key: self._clean(value) if isinstance(value, str) else value for key, value in data.items()}


def _error(status: int, text: str, data: Mapping[str, Any], headers: Mapping[str, str]) -> InfraError:
    words = data.get("message") or data.get("detail") or text
    said = words if isinstance(words, str) else json.dumps(words)
    said = "\n".join(line.rstrip() for line in said.splitlines() if line.strip() and not _TRACE.match(line))
    problems = [_problem(one) for one in _list(data.get("problems"))[:_MOST_PROBLEMS] if isinstance(one, dict)]
    what = "\n".join([f"the server answered HTTP {status}: {said[:_MOST_WORDS].strip() or 'nothing'}", *problems])
    hint = str(data.get("hint", ""))[:_MOST_WORDS]
    low = said.lower()
    ours = _OURS.get(str(data.get("type", "")))
    if ours is not None:
        return ours(what, hint)
    if status in {401, 403}:
        if "not valid in this infrastructure" in low:  # the original, asked for the TOSCA or outputs of RADL
            return Unsupported(what, hint)
        return Unauthorised(what, hint)
    if status in {404, 410}:
        return NotFound(what, hint)
    if "quota" in low or "limit exceeded" in low:
        return QuotaExceeded(what, hint)
    if any(word in low for word in ("capacity", "no valid host", "not enough", "insufficient")):
        return NoCapacity(what, hint)
    if status in {409, 412}:
        return Conflict(what, hint or "look again, then decide anew")
    if status == 429 or status >= 500:
        after = headers.get("retry-after", "")
        return Transient(what, hint, min(float(after), _LONGEST_WAIT_S) if after.isdecimal() else None)
    if status in {405, 413, 415, 422}:
        return Misconfigured(what, hint)
    return CommandFailed(what, hint, status=status)


def _problem(one: Mapping[str, Any]) -> str:
    place = ":".join(str(one[key]) for key in ("file", "line", "column") if key in one)
    return f"{place}: {one.get('code', 'problem')}: {one.get('message', '')}"[:_MOST_WORDS]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def uris(said: Said) -> list[str]:
    """Return the addresses of a list."""
    return [str(part.get("uri", "")) for part in _list(said.data.get("uri-list")) if isinstance(part, dict)]


def id_of(uri: str) -> str:
    """Return the last part of an address, which is the id.

    Raises:
        Transient: it is no id.
    """
    return _id(uri.rstrip("/").rsplit("/", 1)[-1])


def _id(said: str) -> str:
    """Return an id that may be a part of a path: of an address, and of a file's name."""
    if not _ID.fullmatch(said):
        raise Transient(f"the server's answer names {said[:80]!r}, which is no id")
    return said


def vm_states(said: Said) -> tuple[str, Mapping[str, str]]:
    """Return the state of an infrastructure and of its VMs by id.

    Raises:
        Transient: the answer holds none.
    """
    state = said.data.get("state")
    states = state.get("vm_states") if isinstance(state, dict) else None
    if not isinstance(state, dict) or not isinstance(states, dict):
        raise Transient("the server's answer on the state holds no vm_states")
    return str(state.get("state", "unknown")), {_id(str(vm)): str(word) for vm, word in states.items()}


@dataclass(frozen=True, slots=True)
class Vm:
    """A VM as its RADL tells. Texts are "" and numbers None where it does not say."""

    id: str
    system: str
    """The RADL system, which is the node template's name for TOSCA."""
    node: str = ""
    """The first DNS name of its first card."""
    state: str = ""
    cards: Mapping[int, str] = field(default_factory=dict)
    """Number of a network card to its address; what can be none is left out."""
    public_cards: frozenset[int] = frozenset()
    """Which of them have a public address."""
    user: str = ""
    password: Secret | None = None
    private_key: Secret | None = None
    port: int = 22
    num_cpus: int | None = None
    mem_bytes: int | None = None
    instance_id: str = ""
    cloud: str = ""

    @property
    def private_address(self) -> str:
        """Return the first private address, or ""."""
        return next((address for card, address in self.cards.items() if card not in self.public_cards), "")

    @property
    def public_address(self) -> str:
        """Return the first public address, or ""."""
        return next((address for card, address in self.cards.items() if card in self.public_cards), "")


_CREDENTIALS: Final = "disk.0.os.credentials"


def vm_of(vm: str, said: Said) -> Vm | None:
    """Read a VM; None where the answer holds no system."""
    parts = [part for part in _list(said.data.get("radl")) if isinstance(part, dict)]
    systems = [part for part in parts if part.get("class") == "system"]
    if not systems:
        return None
    system = systems[0]
    nets = {str(part.get("id")): part for part in parts if part.get("class") == "network"}

    def text(name: str) -> str:
        found = system.get(name)
        return found if isinstance(found, str) else ""

    def number(name: str) -> int | None:
        found = system.get(name, system.get(f"{name}_min"))
        return int(found) if isinstance(found, int | float) and not isinstance(found, bool) and found > 0 else None

    def secret(name: str) -> Secret | None:
        found = text(f"{_CREDENTIALS}.{name}")
        return Secret(found) if found and found != "***" else None

    cards: dict[int, str] = {}
    public: set[int] = set()
    port = 22
    for card in range(64):
        name = f"net_interface.{card}"
        net = nets.get(text(f"{name}.connection"), {})
        address = text(f"{name}.ip")
        is_public = str(net.get("outbound", "no")).lower() == "yes" and not _is_private(address)
        if _ADDRESS.fullmatch(address):
            cards[card] = address
            public |= {card} if is_public else set()
        forwarded = re.search(r"\b(\d{1,5})(?:/tcp)?-22(?:/tcp)?\b", str(net.get("outports", "")))
        if is_public and forwarded is not None:
            port = int(forwarded[1])
    return Vm(
        id=vm,
        system=str(system.get("id", "")),
        node=text("net_interface.0.dns_name") or text("net_interface.0.dns.0.name"),
        state=text("state"),
        cards=cards,
        public_cards=frozenset(public),
        user=text(f"{_CREDENTIALS}.username"),
        password=secret("password"),
        private_key=secret("private_key"),
        port=port,
        num_cpus=number("cpu.count"),
        mem_bytes=number("memory.size"),
        instance_id=text("instance_id"),
        cloud=text("provider.type"),
    )


def _is_private(address: str) -> bool:
    """Whether an address is of a private network (RFC 1918, 4193), whatever the RADL says of it."""
    try:
        return ipaddress.ip_address(address).is_private
    except ValueError:
        return False


def names_of(radl: str) -> tuple[str, tuple[str, ...]]:
    """Return the name that a RADL says of itself, "" where it says none, and all that it may be called by."""
    found = _DESCRIPTION.search(radl[:200_000])
    if found is None:
        return "", ()
    said = dict(reversed(_FEATURE.findall(found[2])))  # the first of a name counts
    name = said.get("name", "")
    return name, tuple(dict.fromkeys(word for word in (name, said.get("infrastructure", "")) if word))


def more_machines(radl: str, system: str, count: int) -> Body:
    """Return what adds machines to an infrastructure, made from RADL or TOSCA, whose RADL is given."""
    # IM checks the names of networks before it looks its own up
    names = dict.fromkeys(re.findall(r"^\s*network\s+([\w.-]+)", radl, re.MULTILINE))
    networks = "".join(f"network {name}\n" for name in names)
    return Body(f"{networks}system {system}\ndeploy {system} {count}\n", RADL)


def path_of(infra: str, *parts: str, **query: str) -> str:
    """Return the path of an infrastructure or of a part of it."""
    path = "/".join(["/infrastructures", *(quote(part, safe="") for part in (infra, *parts) if part)])
    words: Sequence[str] = [f"{name}={quote(value, safe='')}" for name, value in query.items()]
    return path + ("?" + "&".join(words) if words else "")

"""What a board's values may be. What passes here cannot break out of a file or a command that it is written into.

Each rule returns what is wrong as (key, what, hint). No secret is repeated.
"""

import base64
import ipaddress
import re
import zoneinfo
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final, TypeAlias

__all__ = ["Problem", "account", "bare", "boot", "first_boot", "hostname", "interface", "place", "wifi"]

Problem: TypeAlias = tuple[str, str, str]

_HOSTNAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
"""RFC 1123, one label: more than one is no name for mDNS."""
_USER: Final = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
"""useradd(8) of Debian."""
_TAKEN: Final = frozenset(
    {
        *("daemon", "bin", "sys", "sync", "games", "man", "lp", "mail", "news", "uucp", "proxy", "www-data"),
        *("backup", "list", "irc", "nobody", "sshd", "systemd-network", "systemd-resolve", "messagebus", "_apt"),
    }
)
"""Accounts of a system: to log in as one of them is never meant. root is for images that have no other."""
_HASHES: Final = (
    re.compile(r"\$6\$(rounds=\d{4,9}\$)?[./A-Za-z0-9]{1,16}\$[./A-Za-z0-9]{86}"),
    re.compile(r"\$5\$(rounds=\d{4,9}\$)?[./A-Za-z0-9]{1,16}\$[./A-Za-z0-9]{43}"),
    re.compile(r"\$g?y\$[./A-Za-z0-9]+\$[./A-Za-z0-9]{1,86}\$[./A-Za-z0-9]{43}"),
    re.compile(r"\$2[by]\$\d{2}\$[./A-Za-z0-9]{53}"),
)
"""crypt(5): sha512crypt, sha256crypt, yescrypt and gost-yescrypt, bcrypt. Older ones are guessed in minutes."""
_KEY_TYPES: Final = frozenset(
    {
        *("ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"),
        *("sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"),
    }
)
_COUNTRY: Final = re.compile(r"[A-Z]{2}")
_PASSPHRASE: Final = re.compile(r"[\x20-\x7e]{8,63}")
_KEY: Final = re.compile(r"[0-9a-fA-F]{64}")
_INTERFACE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,14}")
_PREFIXED: Final = re.compile(r"[^/]+/[0-9]{1,3}")
"""No netmask: netplan and NetworkManager take none."""
_LOCALE: Final = re.compile(r"([a-z]{2,3}_[A-Z]{2}|C)\.UTF-8(@[a-z]{1,16})?")
_KEYBOARD: Final = re.compile(r"[a-z]{2,16}")
_OPTION: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(=[\x21\x23-\x26\x28-\x7e]*)?")
"""One word of printable ASCII without quotes: cmdline.txt is one line of such words."""
_FIRST_BOOT: Final = frozenset({"init", "systemd.run", "systemd.run_success_action", "systemd.unit", "root", "ds"})
"""Options that the image or this program needs for itself."""
_FILTER: Final = re.compile(r"\[[A-Za-z0-9_.:=+-]{1,64}\]")
_CONFIG: Final = re.compile(r"[A-Za-z][A-Za-z0-9_:]*=([\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?)?")
_CONFIG_BYTES: Final = 98
"""What the firmware reads of a line (Raspberry Pi's documentation of config.txt)."""
_PACKAGE: Final = re.compile(r"[a-z0-9][a-z0-9+.-]+(:[a-z0-9-]+)?(=[A-Za-z0-9.+:~-]+)?")
"""Debian policy 5.6.1, with an architecture or a version as apt-get takes it."""
_MOST_COMMAND: Final = 16 << 10


def hostname(name: str) -> Iterator[Problem]:
    """Check a board's name."""
    if not _HOSTNAME.fullmatch(name) or name.lower() == "localhost" or name.isdigit():
        yield "hostname", f"{name[:80]!r} is no hostname", "letters, digits and dashes, at most 63, one word"


def account(
    user: str, password: str, hashed: str, authorized_keys: Sequence[str], password_login: bool
) -> Iterator[Problem]:
    """Check who may log in, and that somebody may."""
    if user and not _USER.fullmatch(user):
        yield "user", f"{user[:80]!r} is no user name", "small letters, digits, dash and underscore, at most 32"
    if user in _TAKEN or (user == "root" and (password or hashed)):
        yield "user", f"{user} is an account of the system", "name one of your own; it becomes root by sudo"
    if password and hashed:
        yield "password", "password and password_hash are both given", "give one of them"
    if len(password.encode()) > 72 or any(character < " " or character == "\x7f" for character in password):
        yield "password", "it is longer than 72 bytes or holds control characters", "take another"
    if hashed and not any(scheme.fullmatch(hashed) for scheme in _HASHES):
        hint = "yescrypt ($y$), sha512crypt ($6$), sha256crypt ($5$) or bcrypt ($2b$): mkpasswd, openssl passwd -6"
        yield "password_hash", "it is no password hash of a modern scheme", hint
    for n, key in enumerate(authorized_keys):
        if not is_public_key(key):
            yield f"authorized_keys[{n}]", "it is no public ssh key", "one line as ~/.ssh/id_ed25519.pub has it"
    if (password or hashed or authorized_keys) and not user:
        yield "user", "a password or keys are given, and nobody whom they are for", "name the user"
    if user and not (password or hashed or authorized_keys):
        yield "authorized_keys", f"{user} could not log in", "give authorized_keys, password_hash or password"
    if password_login and not (password or hashed):
        yield "password_login", "there is no password to log in with", "give password_hash or password"


def is_public_key(line: str) -> bool:
    """Say whether a line is `type base64 [comment]`, with the type that the base64 names too. No options."""
    words = line.strip().split(" ", 2)
    if len(words) < 2 or words[0] not in _KEY_TYPES or not line.strip().isprintable():
        return False
    try:
        blob = base64.b64decode(words[1], validate=True)
    except ValueError:  # also where it is no ASCII
        return False
    name = words[0].encode()
    return blob.startswith(len(name).to_bytes(4, "big") + name) and len(blob) > len(name) + 4 + 32


def wifi(ssid: str, country: str, passphrase: str, security: str) -> Iterator[Problem]:
    """Check a wireless network."""
    if not 1 <= len(ssid.encode()) <= 32 or not ssid.isprintable():
        yield "wifi.ssid", f"{ssid[:80]!r} is no name of a wireless network", "1 to 32 bytes without control characters"
    if not country:
        yield "wifi.country", "it is missing", "the radio stays off without the country's two letters, such as GB"
    elif not _COUNTRY.fullmatch(country):
        yield "wifi.country", f"{country[:80]!r} is no country", "two capital letters (ISO 3166-1), such as GB"
    if security == "open":
        if passphrase:
            yield "wifi.passphrase", "an open network has none", "take it away, or set security: wpa2"
    elif not passphrase:
        yield "wifi.passphrase", "it is missing", "set security: open for a network without one"
    elif not (_PASSPHRASE.fullmatch(passphrase) or (security == "wpa2" and _KEY.fullmatch(passphrase))):
        yield "wifi.passphrase", "it does not fit", "8 to 63 characters of ASCII; of WPA2 also 64 hexadecimal digits"


def bare(address: str) -> str:
    """Return an address without its prefix."""
    return str(ipaddress.ip_interface(address).ip)


def interface(key: str, name: str, address: str, gateway: str, dns: Sequence[str]) -> Iterator[Problem]:
    """Check a fixed address."""
    if not _INTERFACE.fullmatch(name):
        yield f"{key}.name", f"{name[:80]!r} is no name of an interface", "such as eth0"
    try:
        own = ipaddress.ip_interface(address)
    except ValueError:
        own = None
    if own is None or not _PREFIXED.fullmatch(address) or _is_odd(own):
        yield f"{key}.address", f"{address[:80]!r} is no address with a prefix", "such as 10.0.0.11/24"
        return
    if gateway:
        try:
            other = ipaddress.ip_address(_zoneless(gateway))
        except ValueError:
            other = None
        is_link = other is not None and other.version == own.version == 6 and other.is_link_local
        if other is None or not (is_link or other in own.network) or other == own.ip:
            yield f"{key}.gateway", f"{gateway[:80]!r} is no other address of {own.network}", "the router's address"
    for n, server in enumerate(dns):
        try:
            ipaddress.ip_address(_zoneless(server))
        except ValueError:
            yield f"{key}.dns[{n}]", f"{server[:80]!r} is no address", "the name server's address, not its name"


def _zoneless(address: str) -> str:
    """Return an address that has no zone: what stands behind % may be anything. Raises ValueError."""
    if "%" in address:
        raise ValueError("a zone")
    return address


def _is_odd(own: ipaddress.IPv4Interface | ipaddress.IPv6Interface) -> bool:
    network = own.network
    is_edge = own.version == 4 and network.prefixlen < 31 and own.ip in {network[0], network[-1]}
    return own.ip.is_multicast or own.ip.is_loopback or own.ip.is_unspecified or is_edge or "%" in str(own)


@lru_cache(maxsize=1)
def _timezones() -> frozenset[str]:
    """Return the zones that this computer knows; none where it has no list."""
    return frozenset(zoneinfo.available_timezones())


def place(locale: str, keyboard: str, timezone: str) -> Iterator[Problem]:
    """Check language, keyboard and clock."""
    if locale and not _LOCALE.fullmatch(locale):
        yield "locale", f"{locale[:80]!r} is no locale", "such as en_GB.UTF-8"
    if keyboard and not _KEYBOARD.fullmatch(keyboard):
        yield "keyboard", f"{keyboard[:80]!r} is no keyboard layout", "such as gb"
    if timezone and not _is_timezone(timezone):
        yield "timezone", f"{timezone[:80]!r} is no time zone", "such as Europe/Madrid or Etc/UTC"


def _is_timezone(name: str) -> bool:
    known = _timezones()
    return name in known if known else bool(re.fullmatch(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+){0,2}", name))


def boot(cmdline: Sequence[str], config: Sequence[str]) -> Iterator[Problem]:
    """Check options of the kernel, and lines for the firmware."""
    for n, option in enumerate(cmdline):
        if not _OPTION.fullmatch(option):
            yield f"cmdline[{n}]", f"{option[:80]!r} is no option of the kernel", "one word without spaces and quotes"
        elif option.partition("=")[0] in _FIRST_BOOT:
            yield f"cmdline[{n}]", f"{option.partition('=')[0]} is the image's own", "leave it as the image has it"
    for n, line in enumerate(config):
        is_line = _CONFIG.fullmatch(line) and not line.startswith("include=")
        if not (is_line or _FILTER.fullmatch(line)) or len(line) > _CONFIG_BYTES:
            hint = f"name=value or a filter such as [pi5], at most {_CONFIG_BYTES} characters of ASCII"
            yield f"config[{n}]", f"{line[:80]!r} is no line for config.txt", hint


def first_boot(packages: Sequence[str], commands: Sequence[str]) -> Iterator[Problem]:
    """Check what is installed and run at the first boot. A command is the user's shell: only its text is checked."""
    for n, package in enumerate(packages):
        if not _PACKAGE.fullmatch(package):
            yield f"packages[{n}]", f"{package[:80]!r} is no package of Debian", "a name, or name=version"
    for n, command in enumerate(commands):
        is_odd = any(character < " " and character not in "\n\t" for character in command) or "\x7f" in command
        if not command.strip() or is_odd or len(command) > _MOST_COMMAND:
            hint = f"text without control characters, at most {_MOST_COMMAND >> 10} KiB"
            yield f"commands[{n}]", "it is empty, too long or holds control characters", hint

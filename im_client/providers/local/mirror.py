"""Which distribution this computer is, and where its packages come from: read from its own apt sources."""

import platform
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from im_client.plan.model import Spec
from im_client.providers.local.settings import LocalSettings
from infracore.errors import Misconfigured, Unsupported
from infracore.process import run

__all__ = ["Release", "Source", "apt_options", "choose_release", "host_release", "read_sources"]

_SUITES: Final[Mapping[str, Mapping[str, str]]] = {
    "debian": {"11": "bullseye", "12": "bookworm", "13": "trixie", "14": "forky"},
    "ubuntu": {"20.04": "focal", "22.04": "jammy", "24.04": "noble", "26.04": "resolute"},
}
"""Version -> suite. Sources: wiki.debian.org/DebianReleases, wiki.ubuntu.com/Releases."""
_ARCHITECTURES: Final = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


@dataclass(frozen=True, slots=True)
class Release:
    """What machines run: `debian`, `bookworm`."""

    distribution: str
    suite: str

    def __str__(self) -> str:
        return f"{self.distribution} {self.suite}"


@dataclass(frozen=True, slots=True)
class Source:
    """One archive and suite of apt's sources."""

    uri: str
    suite: str
    components: tuple[str, ...]

    def line(self) -> str:
        """Write it as sources.list(5) has it."""
        return f"deb {self.uri} {self.suite} {' '.join(self.components)}"


def host_release(os_release: str | None = None) -> Release | None:
    """Return this computer's own release; None where it is neither Debian nor Ubuntu (or a derivative)."""
    text = os_release if os_release is not None else Path("/etc/os-release").read_text(encoding="utf-8")
    entries = dict(re.findall(r'^([A-Z_]+)="?([^"\n]*)"?$', text, re.MULTILINE))
    names = [entries.get("ID", ""), *entries.get("ID_LIKE", "").split()]
    suites = {"ubuntu": entries.get("UBUNTU_CODENAME"), "debian": entries.get("DEBIAN_CODENAME")}
    for name in names:
        suite = suites.get(name) or entries.get("VERSION_CODENAME")
        if name in _SUITES and suite:
            return Release(name, suite)
    return None


def choose_release(spec: Spec, settings: LocalSettings, host: Release | None) -> Release:
    """Say what a machine shall run.

    Raises:
        Unsupported: another distribution than this computer's (no mirror is set), an unknown version, an image
            that is no release, or another architecture.
    """
    architecture = (spec.architecture or platform.machine()).lower()
    if _ARCHITECTURES.get(architecture) != _ARCHITECTURES.get(platform.machine()):
        raise Unsupported(f"a local machine cannot have the architecture {spec.architecture}", "leave it out")
    if spec.os_type not in (None, "linux"):
        raise Unsupported(f"a local machine cannot run {spec.os_type}", "ask for linux")
    distribution, version = (spec.os_distribution or "").lower(), (spec.os_version or "").lower()
    if spec.image is not None:
        words = re.fullmatch(r"(?:local://)?(?:(debian|ubuntu)[/:])?([a-z]+|[0-9.]+)", spec.image.lower())
        if words is None:
            raise Unsupported(
                f"the local provider has no image {spec.image!r}", "an image is a release, such as local://debian/12"
            )
        distribution, version = words[1] or distribution, words[2]
    own = host.distribution if host is not None else "debian"
    distribution = distribution or own
    if distribution not in _SUITES:
        raise Unsupported(f"local machines run Debian or Ubuntu, not {distribution}", "change the template's image")
    default = settings.suite or (host.suite if host is not None and distribution == own else "")
    suite = _suite(distribution, version) if version else default
    if not suite:
        raise Unsupported(f"which version of {distribution}?", "give the template's image a version")
    if distribution != own and not settings.mirror:
        raise Unsupported(
            f"this computer's apt knows no archive of {distribution}", f"set `mirror` to an archive of {distribution}"
        )
    return Release(distribution, suite)


def _suite(distribution: str, version: str) -> str:
    suites = _SUITES[distribution]
    if version in suites.values():
        return version
    found = suites.get(version) or suites.get(version.split(".", maxsplit=1)[0])
    if found is None:
        known = ", ".join(suites)
        raise Unsupported(f"no release {version} of {distribution} is known", f"known: {known}")
    return found


def read_sources(release: Release, host: Release | None, settings: LocalSettings) -> tuple[Source, ...]:
    """Return the archives for a release: this computer's own, with the suite's name put in.

    Raises:
        Misconfigured: its apt sources name no archive of the distribution.
    """
    main = ("main", "universe") if release.distribution == "ubuntu" else ("main",)
    if settings.mirror:
        found = [Source(settings.mirror, suite, main) for suite in (release.suite, f"{release.suite}-updates")]
        if settings.security_mirror:
            found.append(Source(settings.security_mirror, f"{release.suite}-security", main))
        return tuple(found)
    own = host.suite if host is not None else ""
    suites = {own: "", f"{own}-updates": "-updates", f"{own}-security": "-security"}
    chosen: dict[str, Source] = {}
    for source in _host_sources(release.distribution):
        if "main" in source.components and source.suite in suites:
            suite = f"{release.suite}{suites[source.suite]}"
            chosen.setdefault(suite, Source(source.uri, suite, main))
    if release.suite not in chosen:
        raise Misconfigured(f"apt's sources name no archive with {own} main", "set `mirror` of the local provider")
    return tuple(chosen.values())


def _host_sources(distribution: str) -> Iterable[Source]:
    """Ask apt itself, which knows both of its file formats, for the distribution's own archives.

    The origin is empty where the indices were never fetched; then the archive's path says whose it is.
    """
    form = "$(SITE) $(RELEASE) $(COMPONENT) $(ORIGIN)"
    listing = run(["apt-get", "indextargets", "--format", form, "Identifier: Packages"], timeout_s=30).stdout
    for line in listing.splitlines():
        words = line.split()
        if len(words) < 3:
            continue
        origin = " ".join(words[3:]).lower()
        if origin == distribution or (origin in ("", "$(origin)") and f"/{distribution}" in words[0].lower()):
            yield Source(words[0], words[1], (words[2],))


def apt_options() -> tuple[str, ...]:
    """Return this computer's settings about the age of an archive's index: its mirror may be a frozen one."""
    dump = run(["apt-config", "dump"], timeout_s=20).stdout
    wanted = ("Acquire::Check-Valid-Until", "Acquire::Check-Date")
    return tuple(line for line in dump.splitlines() if line.startswith(wanted))

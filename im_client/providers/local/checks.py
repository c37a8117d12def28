"""What `im doctor` says of the local provider: each finding with what was seen and how to mend it."""

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from im_client.providers.base import Finding, Severity
from im_client.providers.local.cgroups import find_groups
from im_client.providers.local.kernel import LIMITS, low_limits
from im_client.providers.local.mirror import host_release, read_sources
from im_client.providers.local.network import Bridge
from im_client.providers.local.outbound import host_proxy, nat_problem
from im_client.providers.local.packages import install_command, missing_programs
from im_client.providers.local.settings import LocalSettings
from infracore.errors import InfraError
from infracore.units import format_bytes

__all__ = ["check_nspawn", "check_programs", "check_space"]

_SPACE: Final = 3 * 1024**3
"""A base image is about 0.4 GB, a machine with Slurm about 0.3 GB, the package cache about 0.2 GB."""


def check_programs(kind: str) -> Iterator[Finding]:
    """Look for the programs that are run."""
    missing = missing_programs(kind)
    if missing:
        yield Finding(
            "programs", Severity.ERROR, f"missing: {', '.join(p.name for p in missing)}", install_command(missing)
        )
    else:
        yield Finding("programs", Severity.OK, "all are installed")


def check_space(folder: Path) -> Finding:
    """Look at the free space where machines rest."""
    there = next(place for place in (folder, *folder.parents) if place.exists())
    free = shutil.disk_usage(there).free
    text = f"{format_bytes(free)} free in {there}"
    if free < _SPACE:
        return Finding("disk", Severity.ERROR, text, "free some space, or set another `state_dir`")
    return Finding("disk", Severity.OK, text)


def check_nspawn(settings: LocalSettings) -> Sequence[Finding]:
    """Examine this computer for root's machines. Changes nothing."""
    found = [Finding("account", Severity.OK, "root: systemd-nspawn machines")]
    found += check_programs("nspawn")
    found += _kernel()
    found += _groups()
    found.append(check_space(settings.root))
    found += _network(settings)
    found += _packages(settings)
    return found


def _kernel() -> Iterator[Finding]:
    known = Path("/proc/filesystems").read_text(encoding="ascii")
    lacking = [
        name
        for name, there in (
            ("overlay", "\toverlay\n" in known),
            ("network namespaces", Path("/proc/self/ns/net").exists()),
        )
        if not there
    ]
    if lacking:
        yield Finding("kernel", Severity.ERROR, f"without {', '.join(lacking)}", "run: modprobe overlay")
    else:
        yield Finding("kernel", Severity.OK, f"{os.uname().release} with overlay and network namespaces")
    low = [name for name in low_limits() if not os.access(f"/proc/sys/{name}", os.W_OK)]
    if low:
        remedy = "run: sysctl -w " + " ".join(f"{name.replace('/', '.')}={LIMITS[name]}" for name in low)
        yield Finding("kernel limits", Severity.WARNING, "too low for more than some 15 machines", remedy)


def _groups() -> Iterator[Finding]:
    try:
        tree = find_groups()
    except InfraError as error:
        yield Finding("cgroups", Severity.ERROR, error.message, error.hint)
        return
    version = "2" if tree.is_pure else ("1 and 2" if tree.unified else "1")
    lacking = [name for name in ("cpu", "memory") if not tree.has(name)]
    if lacking:
        yield Finding(
            "cgroups",
            Severity.WARNING,
            f"version {version}, without {', '.join(lacking)}: templates that limit them fail",
            "boot with cgroup_enable=memory",
        )
    else:
        yield Finding("cgroups", Severity.OK, f"version {version}, with cpu and memory")


def _network(settings: LocalSettings) -> Iterator[Finding]:
    chosen = Bridge(settings.root, settings.bridge, settings.network).chosen()
    if chosen is not None:
        yield Finding("bridge", Severity.OK, f"{chosen.bridge} with {chosen.network}")
    elif Path("/sys/class/net", settings.bridge).exists():
        yield Finding("bridge", Severity.ERROR, f"{settings.bridge} exists and is not ours", "set another `bridge`")
    else:
        yield Finding("bridge", Severity.OK, f"{settings.bridge} is made with the first machine")


def _packages(settings: LocalSettings) -> Iterator[Finding]:
    try:
        host = host_release()
        if host is not None:
            sources = read_sources(host, host, settings)
            yield Finding("archive", Severity.OK, f"{host} from {sources[0].uri}")
        else:
            yield Finding(
                "archive", Severity.ERROR, "neither Debian nor Ubuntu", "set `suite` and `mirror` of the local provider"
            )
    except InfraError as error:
        yield Finding("archive", Severity.ERROR, error.message, error.hint)
    problem = nat_problem() if settings.nat != "off" else "the setting `nat` is off"
    has_cache = not any(p.name == "apt-cacher-ng" for p in missing_programs("nspawn", with_optional=True))
    proxy = "none" if settings.apt_proxy == "none" else (host_proxy() or ("apt-cacher-ng" if has_cache else "none"))
    text = f"machines' apt proxy: {proxy}; translation: {problem or 'possible'}"
    if proxy == "none" and problem is not None:
        yield Finding("way out", Severity.ERROR, text, "apt-get install apt-cacher-ng, or set `apt_proxy`")
    elif proxy == "none":
        yield Finding("way out", Severity.WARNING, text, "apt-get install apt-cacher-ng: one download for all machines")
    else:
        yield Finding("way out", Severity.OK, text)

"""Base images of nspawn machines: a root file system per release, made once with mmdebstrap."""

import hashlib
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from im_client.providers.base import Progress
from im_client.providers.local.mirror import Release, Source, apt_options
from im_client.providers.local.records import file_lock
from im_client.providers.local.settings import LocalSettings
from infracore.errors import CommandFailed, TimedOut

__all__ = ["PACKAGES", "debootstrap", "ensure_base", "image_path"]

PACKAGES: Final = (
    "systemd", "systemd-sysv", "dbus", "libpam-systemd", "openssh-server", "python3", "python3-apt", "sudo",
    "iproute2", "ca-certificates",
)  # fmt: skip
"""What Ansible and a log-in need, no more: 75 s and 300 MB less than the standard system."""
_MASKED: Final = (
    "systemd-networkd.service", "systemd-resolved.service", "systemd-timesyncd.service", "getty@tty1.service",
    "console-getty.service", "apt-daily.timer", "apt-daily-upgrade.timer", "e2scrub_all.timer", "fstrim.timer",
    "dpkg-db-backup.timer", "motd-news.timer", "systemd-udevd.service", "ldconfig.service",
)  # fmt: skip
"""The address is set from outside, the clock is this computer's, and timers would cost every machine the same."""
_TIMEOUT_S: Final = 1800.0
_RECIPE: Final = 1
"""Grows with every change of this file that makes another image."""


def image_path(release: Release, settings: LocalSettings) -> Path:
    """Return where the base image of a release is, made or not."""
    recipe = "\0".join((str(_RECIPE), *PACKAGES, *settings.packages, settings.mirror))
    return settings.images / f"{release.suite}-{hashlib.sha256(recipe.encode()).hexdigest()[:8]}"


def ensure_base(
    release: Release,
    sources: Sequence[Source],
    settings: LocalSettings,
    proxy: str | None,
    on_progress: Progress,
) -> Path:
    """Make the base image unless it is there; one process makes it and the others wait (a minute or two).

    Raises:
        CommandFailed: mmdebstrap failed; the message has its last lines.
    """
    place = image_path(release, settings)
    if place.exists():
        return place
    settings.images.mkdir(mode=0o755, parents=True, exist_ok=True)
    with file_lock(settings.images / f".{place.name}.lock"):
        if place.exists():
            return place
        on_progress(f"making the base image of {release} (once; a minute or two)")
        fresh = place.with_name(f".{place.name}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        debootstrap(release, sources, (*PACKAGES, *settings.packages), _HOOKS, fresh, proxy=proxy, mode="root")
        fresh.rename(place)
        on_progress(f"the base image of {release} is made")
    return place


_HOOKS: Final = (
    'rm -f "$1"/etc/ssh/ssh_host_* "$1"/etc/machine-id; : > "$1"/etc/machine-id; : > "$1"/etc/resolv.conf',
    'echo "UseDNS no" > "$1"/etc/ssh/sshd_config.d/im-clues.conf',
    "for u in " + " ".join(_MASKED) + '; do ln -sf /dev/null "$1/etc/systemd/system/$u"; done',
    'mkdir -p -m 700 "$1"/root/.ssh; date -u +%s > "$1"/etc/im-clues-base',
)


def debootstrap(
    release: Release,
    sources: Sequence[Source],
    packages: Sequence[str],
    hooks: Sequence[str],
    target: Path,
    *,
    proxy: str | None,
    mode: str,
    options: Sequence[str] = (),
    timeout_s: float = _TIMEOUT_S,
) -> None:
    """Run mmdebstrap into a folder or tar file, with further options of its own. Blocks for a minute or two.

    Indices stay in the image, so that `apt-get install` works at once; documentation is left out, and dpkg does
    not wait for the disk.

    Raises:
        CommandFailed: it failed.
        TimedOut: it did not end within `timeout_s`.
    """
    argv = ["mmdebstrap", "--variant=minbase", f"--mode={mode}", "--skip=cleanup/apt/lists,check/empty"]
    argv += [f"--include={','.join(packages)}"]
    argv += [f"--dpkgopt=path-exclude=/usr/share/{folder}/*" for folder in ("doc", "man", "locale", "info")]
    argv += ["--dpkgopt=path-include=/usr/share/locale/locale.alias", "--dpkgopt=force-unsafe-io"]
    argv += [f"--aptopt={option}" for option in ('Acquire::Languages "none"', *apt_options())]
    argv += [f"--customize-hook={hook}" for hook in hooks]
    argv += options
    argv += [release.suite, str(target), "-"]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    if proxy is not None:
        environment["http_proxy"] = proxy
    child = subprocess.Popen(
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment,
        start_new_session=True,
    )
    lines = "".join(f"{source.line()}\n" for source in sources)
    try:
        _, err = child.communicate(lines.encode(), timeout=timeout_s)
    except subprocess.TimeoutExpired as error:
        raise TimedOut(f"mmdebstrap of {release} did not end within {timeout_s / 60:.0f} minutes") from error
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGTERM)  # it unmounts and removes what it made
            child.communicate()
    if child.returncode != 0:
        tail = "\n".join(err.decode(errors="replace").strip().splitlines()[-5:])
        raise CommandFailed(
            f"mmdebstrap cannot make an image of {release}: {tail}",
            "run: apt-get update; im doctor tells what the local provider misses",
            status=child.returncode,
            stderr=err.decode(errors="replace"),
        )

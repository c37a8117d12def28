"""Playbooks that lie inside of a CSAR archive or a RADL document: Ansible needs them on disk."""

import base64
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from im_client.radl.front import is_radl, recipe_texts
from im_client.state.store import Source
from im_client.topology.model import Artifact
from im_client.tosca.csar import unpack
from im_client.tosca.locations import INSIDE
from infracore.errors import Misconfigured

__all__ = ["on_disk"]

_RECORDED: Final = "csar;base64,"


def on_disk(artifact: Artifact, source: Source, cache_dir: Path) -> Artifact:
    """Return the artifact with a path that Ansible can read; an archive or document is unpacked into the cache, once.

    Raises:
        Misconfigured: the archive is neither recorded nor readable any more, or is damaged.
    """
    if INSIDE not in artifact.location:
        return artifact
    archive, name = artifact.location.split(INSIDE, 1)
    recorded = source.files.get(archive, "")
    if recorded and not recorded.startswith(_RECORDED) and is_radl(archive, recorded.encode()):
        return replace(artifact, location=str(_recipes(source, cache_dir) / name))
    try:
        data = (
            base64.b64decode(recorded.removeprefix(_RECORDED))
            if recorded.startswith(_RECORDED)
            else Path(archive).read_bytes()
        )
    except (OSError, ValueError) as error:
        raise Misconfigured(f"cannot read the archive {archive}: {error}", "deploy again from the archive") from error
    folder = cache_dir / "csar" / hashlib.sha256(data).hexdigest()

    def fill(fresh: Path) -> None:
        unpack(data, fresh)

    _once(folder, fill)
    return replace(artifact, location=str(folder / name))


def _recipes(source: Source, cache_dir: Path) -> Path:
    """Write all recipes of a RADL document and its add-ons side by side: one may include another as NAME.yml.

    Inputs may be written into them, so that only the user may read them.
    """
    names = (source.template, *source.add_ons)
    texts = recipe_texts([(name, source.files.get(name, "")) for name in names], source.inputs)
    digest = hashlib.sha256(json.dumps(texts, sort_keys=True).encode()).hexdigest()

    def fill(fresh: Path) -> None:
        for name, text in texts.items():
            (fresh / f"{name}.yml").write_text(f"{text}\n", encoding="utf-8")

    folder = cache_dir / "radl" / digest
    _once(folder, fill)
    return folder


def _once(folder: Path, fill: Callable[[Path], None]) -> None:
    """Make a folder that comes to be at once with all that is in it, and that others may not read."""
    if folder.is_dir():
        return
    fresh = folder.with_name(f".{folder.name}.{os.getpid()}")
    fresh.mkdir(parents=True, mode=0o700)
    fill(fresh)
    try:
        fresh.rename(folder)
    except OSError:  # another process was quicker
        shutil.rmtree(fresh)

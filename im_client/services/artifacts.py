"""Playbooks that lie inside of a CSAR archive: Ansible needs them on disk."""

import base64
import hashlib
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Final

from im_client.state.store import Source
from im_client.topology.model import Artifact
from im_client.tosca.csar import unpack
from im_client.tosca.locations import INSIDE
from infracore.errors import Misconfigured

__all__ = ["on_disk"]

_RECORDED: Final = "csar;base64,"


def on_disk(artifact: Artifact, source: Source, cache_dir: Path) -> Artifact:
    """Return the artifact with a path that Ansible can read; an archive is unpacked into the cache, once.

    Raises:
        Misconfigured: the archive is neither recorded nor readable any more, or is damaged.
    """
    if INSIDE not in artifact.location:
        return artifact
    archive, name = artifact.location.split(INSIDE, 1)
    recorded = source.files.get(archive, "")
    try:
        data = (
            base64.b64decode(recorded.removeprefix(_RECORDED))
            if recorded.startswith(_RECORDED)
            else Path(archive).read_bytes()
        )
    except (OSError, ValueError) as error:
        raise Misconfigured(f"cannot read the archive {archive}: {error}", "deploy again from the archive") from error
    folder = cache_dir / "csar" / hashlib.sha256(data).hexdigest()
    if not folder.is_dir():
        fresh = folder.with_name(f".{folder.name}.{os.getpid()}")
        fresh.mkdir(parents=True)
        unpack(data, fresh)
        try:
            fresh.rename(folder)
        except OSError:  # another process was quicker
            shutil.rmtree(fresh)
    return replace(artifact, location=str(folder / name))

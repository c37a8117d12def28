"""Where the content of this project lies: templates, types, playbooks and example inventories."""

import sys
from functools import lru_cache
from pathlib import Path
from typing import Final

from infracore.errors import Misconfigured

__all__ = ["content_folder", "content_path"]

_MARK: Final = Path("tosca_templates") / "types" / "custom_types.yaml"


@lru_cache(maxsize=1)
def content_folder() -> Path:
    """Return the folder that holds `tosca_templates/`, `playbooks/` and `inventories/`.

    In a checkout they lie beside the packages, in an installation under `share/im-clues` of the environment.

    Raises:
        Misconfigured: neither has them.
    """
    places = (Path(__file__).resolve().parent.parent, Path(sys.prefix) / "share" / "im-clues")
    for place in places:
        if (place / _MARK).is_file():
            return place
    raise Misconfigured(
        f"the type definitions are missing: no {_MARK} in {' or '.join(str(p) for p in places)}",
        "install the package again, or run from a complete checkout",
    )


def content_path(relative: str) -> Path | None:
    """Return the absolute path of a content file, or None where there is no such file or it would lie outside."""
    folder = content_folder()
    path = (folder / relative).resolve()
    return path if path.is_relative_to(folder) and path.is_file() else None

"""Where the image and the packages rest between two runs of the tests."""

from pathlib import Path

from im_client.providers.local.settings import default_state_dir

__all__ = ["cache_folder"]


def cache_folder() -> Path:
    """Return the folder, made or not."""
    return default_state_dir().parent / "pi"

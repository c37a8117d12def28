"""How a golden image is named where an image has an address: `golden://SITE/NAME`."""

from typing import Final

__all__ = ["golden_address", "golden_parts", "split_image"]

_SCHEME: Final = "golden://"


def golden_address(site: str, name: str) -> str:
    """Return the address of an image."""
    return f"{_SCHEME}{site}/{name}"


def golden_parts(text: str) -> tuple[str | None, str]:
    """Return site and name of an image; the site is None where a text is a name alone."""
    if not text.startswith(_SCHEME):
        return None, text
    site, _, name = text.removeprefix(_SCHEME).partition("/")
    return site, name


def split_image(url: str | None, golden: str | None = None) -> tuple[str | None, str | None]:
    """Return the address of the image, and the golden image, that machines start from; `golden` was asked for besides.

    The address of a golden image is none that a provider knows: it counts as the golden image.
    """
    if url is not None and url.startswith(_SCHEME):
        return None, golden or url
    return url, golden

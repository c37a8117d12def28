"""Text that came from elsewhere, made harmless for a terminal."""

import unicodedata

__all__ = ["clean", "clean_lines"]

_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
"""Unicode categories that move the cursor, change colours or the direction of writing, or show nothing."""


def clean(text: str) -> str:
    r"""Return the text in one line, with control and direction characters written as `\xNN` or `\uNNNN`."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape(c) if unicodedata.category(c) in _HIDDEN else c for c in text)


def clean_lines(text: str) -> str:
    """Clean text, leaving its line ends and tabs as they are."""
    return "\n".join("\t".join(clean(part) for part in line.split("\t")) for line in text.splitlines())


def _escape(character: str) -> str:
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"

"""concat, join and token: computed now where all is known, else expressions. TOSCA 1.3, section 4.3."""

from collections.abc import Mapping

from im_client.template.problems import Code
from im_client.topology.values import Concat, Join, Token, Value
from im_client.tosca.calls import Call, Known
from im_client.tosca.source import Seq, value_place
from im_client.tosca.values import is_runtime, shown
from infracore.secrets import Secret

__all__ = ["concat", "join", "token"]


def concat(call: Call, known: Known) -> Value:
    """Put texts together. Raises Failed."""
    if not call.arguments:
        raise call.fail(Code.BAD_FUNCTION, "concat takes at least one text", 'write: { concat: [ a, "b" ] }')
    value = known.argument(call.raw["concat"], call.place, call.context)
    parts = value if isinstance(value, tuple) else (value,)
    return _folded(parts) if _is_clear(parts) else Concat(parts)


def join(call: Call, known: Known) -> Value:
    """Put the items of a list together with a delimiter. Raises Failed."""
    listed = call.raw["join"]
    arguments = call.arguments
    if (
        not isinstance(listed, Seq)
        or len(arguments) not in {1, 2}
        or not isinstance(arguments[-1], str | Seq | Mapping)
    ):
        said = "join takes a list and a delimiter"
        raise call.fail(Code.BAD_FUNCTION, said, 'write: { join: [ [ a, b ], "," ] }')
    delimiter = arguments[1] if len(arguments) == 2 else ""
    parts = known.argument(listed[0], value_place(listed, 0), call.context)
    if not isinstance(delimiter, str) or not (isinstance(parts, tuple) or is_runtime(parts)):
        said = f"join takes a list and a delimiter, not {shown(parts)}"
        raise call.fail(Code.BAD_FUNCTION, said, 'write: { join: [ [ a, b ], "," ] }')
    if isinstance(parts, tuple) and _is_clear(parts):
        return _folded(parts, delimiter)
    return Join(parts, delimiter)


def token(call: Call, known: Known) -> Value:
    """Return one part of a text that is split at a separator. Raises Failed."""
    listed = call.raw["token"]
    separator = call.arguments[1] if len(call.arguments) == 3 else None
    index = call.arguments[2] if len(call.arguments) == 3 else None
    if (
        not isinstance(listed, Seq)
        or not isinstance(separator, str)
        or separator == ""
        or not isinstance(index, int)
        or isinstance(index, bool)
    ):
        said = "token takes a text, a separator and the index of the part"
        raise call.fail(Code.BAD_FUNCTION, said, 'write: { token: [ text, ":", 0 ] }')
    text = known.argument(listed[0], value_place(listed, 0), call.context)
    if is_runtime(text) or isinstance(text, Secret):
        return Token(text, separator, index)
    parts = _text(text).split(separator)
    if not 0 <= index < len(parts):
        count = f"which has {len(parts)} when split at {shown(separator)}"
        said = f"token wants part {index} of {shown(text)}, {count}"
        raise call.fail(Code.BAD_FUNCTION, said, "parts are counted from 0")
    return parts[index]


def _is_clear(parts: tuple[Value, ...]) -> bool:
    return not any(isinstance(p, Secret | tuple | Mapping) or is_runtime(p) for p in parts)


def _folded(parts: tuple[Value, ...], delimiter: str = "") -> str:
    return delimiter.join(_text(p) for p in parts)


def _text(value: Value) -> str:
    """Write a plain value as `topology.resolve` does at run time."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)

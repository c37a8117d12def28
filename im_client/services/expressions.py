"""Finding what Ansible would evaluate on this computer: Jinja in values that come from strangers."""

import re
from collections.abc import Mapping
from typing import Final

from im_client.topology.values import Value
from infracore.secrets import Secret

__all__ = ["JINJA", "holds_expression"]

JINJA: Final = re.compile(r"\{[{%#]")


def holds_expression(value: Value) -> bool:
    """Return whether any text of a resolved value holds the beginning of a Jinja expression."""
    match value:
        case str():
            return JINJA.search(value) is not None
        case Secret():
            return JINJA.search(value.reveal()) is not None
        case Mapping():
            return any(holds_expression(key) or holds_expression(item) for key, item in value.items())
        case tuple():
            return any(holds_expression(item) for item in value)
    return False

"""Finding infrastructures by a regular expression, which comes from a caller.

Python's `re` may take exponential time and holds the interpreter's lock meanwhile, so the search runs in a child of
its own with a limit of time (20 ms to start: the bare interpreter).
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Final

from im_client.services.server.merging import template_name
from im_client.state.store import InfrastructureRecord
from infracore.errors import InvalidUsage

__all__ = ["matching"]

_LIMIT_S: Final = 3.0
_SEARCH: Final = """
import json, re, sys
pattern, texts = json.load(sys.stdin)
try:
    wanted = re.compile(pattern)
except (re.error, OverflowError, RecursionError) as error:
    sys.exit(3)
json.dump([bool(wanted.search(text)) for text in texts], sys.stdout)
"""


def matching(records: Sequence[InfrastructureRecord], pattern: str) -> tuple[InfrastructureRecord, ...]:
    """Return those whose description or template a pattern is found in.

    Clients look for a name as the original's RADL has it: `description ... ( name = 'NAME' )`.

    Raises:
        InvalidUsage: it is no regular expression, or searching takes too long.
    """
    if not records:
        return ()
    texts = [_text(record) for record in records]
    argv = [sys.executable, "-I", "-S", "-c", _SEARCH]
    try:
        done = subprocess.run(
            argv, input=json.dumps([pattern, texts]), capture_output=True, text=True, timeout=_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise InvalidUsage("the filter takes too long", "write a simpler pattern") from error
    if done.returncode != 0:
        raise InvalidUsage("the filter is no regular expression")
    found: list[bool] = json.loads(done.stdout)
    return tuple(record for record, is_found in zip(records, found, strict=True) if is_found)


def _text(record: InfrastructureRecord) -> str:
    template = record.source.files.get(record.source.template, "")
    name = template_name(template) or record.name
    return f"description {record.name} ( name = '{name}' )\n{template}"

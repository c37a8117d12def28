"""The `authorized_keys` of an account, over SSH: our lines carry the machine's token as their comment."""

import re
from collections.abc import Sequence

from im_client.remote.hostkeys import public_of
from im_client.remote.shell import Shell
from infracore.errors import Misconfigured

__all__ = ["add_keys", "remove_keys"]

_TOKEN = re.compile(r"[A-Za-z0-9._-]{1,128}")
_FILE = ".ssh/authorized_keys"
_ADD = f"""
umask 077; cd && mkdir -p .ssh && touch {_FILE} && {{
  [ ! -s {_FILE} ] || [ -z "$(tail -c 1 {_FILE})" ] || echo >> {_FILE}
  while IFS= read -r line; do grep -qxF -- "$line" {_FILE} || printf '%s\\n' "$line" >> {_FILE}; done
}}
"""
_REMOVE = f"""
umask 077; cd && [ -f {_FILE} ] || exit 0
cat > {_FILE}.im-marks && {{
  grep -v -F -f {_FILE}.im-marks {_FILE} > {_FILE}.im-rest || [ $? -eq 1 ]
}} && cat {_FILE}.im-rest > {_FILE}
status=$?; rm -f {_FILE}.im-marks {_FILE}.im-rest; exit $status
"""


def add_keys(shell: Shell, keys: Sequence[str], token: str, *, timeout_s: float) -> None:
    """Let public keys log in; those that are there already stay as they are. May be repeated."""
    lines = "".join(f"{public_of(key)} {_mark(token)}\n" for key in keys)
    command = f"sh -c '{_quoted(_ADD)}'" if lines else "true"  # no keys: whether one can log in is still of interest
    shell.run(command, timeout_s=timeout_s, stdin=lines)


def remove_keys(shell: Shell, tokens: Sequence[str], *, timeout_s: float) -> None:
    """Remove the lines that carry one of the tokens; all others stay byte for byte. May be repeated."""
    if tokens:
        marks = "".join(f" {_mark(token)}\n" for token in tokens)
        shell.run(f"sh -c '{_quoted(_REMOVE)}'", timeout_s=timeout_s, stdin=marks)


def _mark(token: str) -> str:
    if not _TOKEN.fullmatch(token):
        raise Misconfigured(f"{token!r} is no token")
    return f"im-clues:{token}"


def _quoted(script: str) -> str:
    return script.strip().replace("'", "'\\''")

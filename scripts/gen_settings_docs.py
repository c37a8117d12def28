"""Write docs/reference/settings.md from the settings themselves. `--check` compares and writes nothing."""

import sys
from pathlib import Path

from im_client.settings import reference

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "settings.md"
TEXT = """# Settings

Written by `make docs` from the settings' own descriptions; not by hand.

The command line (`im -o KEY=VALUE ...`) wins over the environment, that over `./im.yaml`, that over
`~/.config/im/im.yaml`, that over `/etc/im/im.yaml`, and that over the default. `im config show --origin` prints what is
in force and where each value comes from; `im config path` prints the files. A setting that does not exist is an error
that names the file and the line. An empty environment variable counts as not set.

A dot in a name is a section of the file:

```yaml
provider: local
parallel: 10
ansible:
  forks: 50
providers:
  local:
    suite: bookworm
```

{table}

Lists in the environment and on the command line are written as in YAML: `IM_ANSIBLE_ROLES_PATH='[roles, ~/roles]'`.
A relative path in a file is taken from the file's folder, elsewhere from the current folder. `state_dir` belongs on a
local disk: what is in it is locked and written in ways that network file systems do not support.

What stands below `providers.NAME` is checked by that provider when it is used.
"""


def main(words: list[str]) -> int:
    """Write the page, or compare it."""
    wanted = TEXT.replace("{table}", reference())
    if "--check" in words:
        return int(not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != wanted)
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Write docs/reference/clues-settings.md from the settings themselves. `--check` compares and writes nothing."""

import sys
from pathlib import Path

from clues.settings import reference

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "clues-settings.md"
TEXT = """# Settings of cluesd

Written by `make docs` from the settings' own descriptions; not by hand. A commented example is `systemd/clues.yaml`.

The command line (`cluesd -o KEY=VALUE ...`) wins over the environment, that over the file (`--config FILE`, else
`CLUES_CONFIG`, else `/etc/clues/clues.yaml`), and that over the default. `clues config show --origin` prints what is in
force and where each value comes from; `clues config check` says all that is wrong at once (the first 50,
each with its line): unknown keys, wrong types, and what drivers find wrong; what only follows from another error is
left out. A file that says nothing is an error, for there would be no pools. On SIGHUP (`systemctl reload cluesd`) the
file is read again; one with an error changes nothing.

A dot in a name is a section of the file. `allocatable` of a pool is written in Kubernetes quantities: `4`, `3900m`,
`8Gi`. What it does not name a pool has not: without `ephemeral-storage` (or `memory`) no node is ordered from it
for a pod that asks for some, and `clues config check` warns of it. Numbers are written as in YAML 1.2: `1e3` is one.

Below `drivers`, as `kubernetes.kubeconfig` and as `slurm.restd_token` the text `credential:NAME` stands for the file
that the systemd unit was given by `LoadCredential=NAME:PATH`.

{table}
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

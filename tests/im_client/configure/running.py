"""Plays on machines that are all one loopback sshd."""

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from im_client.configure.model import AnsibleSettings, Host, Play, PlayEvent, RunResult, Strategy
from im_client.configure.run import run
from im_client.remote.access import Access
from im_client.topology.model import Artifact, ArtifactKind
from im_client.topology.values import Value
from infracore.secrets import Secret


@dataclass
class Runner:
    """Runs plays in a folder; remembers the events."""

    folder: Path
    cache: Path
    access: Access
    strategy: Strategy = Strategy.PLAIN
    events: list[PlayEvent] = field(default_factory=list)

    def artifact(self, name: str, text: str, kind: ArtifactKind = ArtifactKind.PLAYBOOK) -> Artifact:
        """Write a file of the author's."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return Artifact(kind, str(path))

    def hosts(self, names: Iterable[str], **changes: Access) -> list[Host]:
        """Return machines; `name=access` gives one another access. The group is the name before the dash."""
        return [Host(name, name.partition("-")[0], changes.get(name.replace("-", "_"), self.access)) for name in names]

    def run(
        self,
        plays: Sequence[Play],
        hosts: Sequence[Host],
        *,
        cancel: threading.Event | None = None,
        limit: tuple[str, ...] | None = None,
        secrets: Sequence[Secret] = (),
        settings: Mapping[str, object] | None = None,
    ) -> RunResult:
        return run(
            plays,
            hosts,
            settings=AnsibleSettings(strategy=self.strategy, **(settings or {})),  # type: ignore[arg-type]
            run_dir=self.folder / "run",
            cache_dir=self.cache,
            listener=self.events.append,
            cancel=cancel or threading.Event(),
            secrets=secrets,
            limit=limit,
        )


def play(
    artifact: Artifact, component: str, hosts: Iterable[str], inputs: Mapping[str, Value] | None = None, **rest: object
) -> Play:
    """Return a play with the same inputs on all of its machines."""
    names = tuple(hosts)
    return Play(
        id=f"{component}.Standard.configure",
        component=component,
        operation="configure",
        hosts=names,
        implementation=artifact,
        inputs={name: inputs or {} for name in names},
        **rest,  # type: ignore[arg-type]
    )

"""Programs that are told of events, and three that may forbid what is to come. The events are those of CLUES 2.3."""

from collections.abc import Callable, Sequence

from clues.settings import Hook, HookOptions
from infracore.errors import InfraError
from infracore.process import run

__all__ = ["Hooks"]


class Hooks:
    """Runs the hooks that are set. A hook that fails or is missing is told to `on_problem`, and stops nothing."""

    def __init__(self, options: HookOptions, on_problem: Callable[[str], None]) -> None:
        self._options = options
        self._on_problem = on_problem

    def is_set(self, name: str) -> bool:
        """Whether there is anything to run."""
        return bool(self._hook(name).command)

    def ask(self, name: str, words: Sequence[str]) -> str:
        """Run a hook and return why it forbids what is to come; "" if it does not. Blocks up to its time limit."""
        hook = self._hook(name)
        if not hook.command:
            return ""
        said = self._run(name, hook, words)
        if said and not hook.veto:
            self._on_problem(said)
        return said if hook.veto else ""

    def tell(self, name: str, words: Sequence[str]) -> None:
        """Run a hook; what comes of it changes nothing. Blocks up to its time limit."""
        self.ask(name, words)

    def _hook(self, name: str) -> Hook:
        found = getattr(self._options, name)
        return found if isinstance(found, Hook) else Hook()

    def _run(self, name: str, hook: Hook, words: Sequence[str]) -> str:
        try:
            run(
                [*hook.command, *words],
                timeout_s=hook.timeout_s,
                env={"CLUES_HOOK": name},
                cwd=self._options.working_folder,
            )
        except InfraError as error:
            return f"hook {name}: {error.message}"
        return ""

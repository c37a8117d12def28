"""Reading the settings: layers, Kubernetes quantities, credentials; then all checks, reported together."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec

from clues.options import BOOTING, Budgets, Policy, Pool
from clues.settings.checks import problems_of, warnings_of
from clues.settings.docs import DOCS
from clues.settings.model import Settings
from infracore.decoding import Steps
from infracore.errors import InfraError, Misconfigured
from infracore.quantities import quantity_milli, quantity_units
from infracore.settings import Examined, Loaded, Problem, examine, told

__all__ = ["Drivers", "files", "load_settings", "warnings"]

Drivers: TypeAlias = Callable[[Mapping[str, Mapping[str, Any]], Sequence[Pool]], Sequence[InfraError]]
"""Says what is wrong with `drivers`, given the pools."""
_DEFAULT_FILE: Final = Path("/etc/clues/clues.yaml")
_CREDENTIAL: Final = "credential:"


class _PoolText(Pool, frozen=True, forbid_unknown_fields=True):
    """A pool as people write it: with quantities."""

    allocatable: Mapping[str, Any] = {}


class _BudgetText(Budgets, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A budget as people write it: `nodes: 2` is a number to YAML."""

    nodes: str | int  # type: ignore[assignment]  # wider as text than inside


class _PolicyText(Policy, frozen=True, forbid_unknown_fields=True):
    budgets: tuple[_BudgetText, ...] = ()


class _SettingsText(Settings, frozen=True, forbid_unknown_fields=True):
    pools: tuple[_PoolText, ...] = ()
    policy: _PolicyText = _PolicyText()


def files(environ: Mapping[str, str], config: Path | None = None) -> tuple[Path, ...]:
    """Return the settings files that are read: `config`, else CLUES_CONFIG, else the one in /etc."""
    return (config or Path(environ.get("CLUES_CONFIG") or _DEFAULT_FILE),)


def load_settings(
    *,
    environ: Mapping[str, str],
    config: Path | None = None,
    overrides: Mapping[str, object] | None = None,
    is_service: bool = False,
    drivers_of: Drivers | None = None,
) -> Loaded[Settings]:
    """Load and check the settings: command line, environment (`CLUES_*`), file, default.

    A text `credential:NAME` under `drivers`, as kubeconfig or as token becomes the path of that credential of the
    systemd unit (`LoadCredential=NAME:...`). Where there are none, `is_service` makes that an error; who only asks or
    checks has the text instead. Only a file that was asked for by name must be there. `drivers_of` says what the
    drivers find wrong, so that this is told with the rest.

    Raises:
        Misconfigured: all that is wrong, one line each, with the place where it stands.
    """
    named = config is not None or bool(environ.get("CLUES_CONFIG"))
    read = files(environ, config)
    if named and not read[0].is_file():
        raise Misconfigured(f"there is no settings file {read[0]}", "begin with the example systemd/clues.yaml")
    found = examine(_SettingsText, "clues", files=read, environ=environ, overrides=overrides or {}, docs=DOCS)
    if read[0].is_file() and not found.loaded.nodes and not found.problems:
        said = f"{read[0]} says nothing: there are no pools, and nothing could be ordered"
        raise Misconfigured(said, "begin with the example systemd/clues.yaml")
    loaded, text, problems = found.loaded, found.loaded.value, list[tuple[str, str]]()
    pools = []
    for number, pool in enumerate(text.pools):
        amounts: dict[str, int] = {}
        for name, amount in pool.allocatable.items():
            try:
                amounts[name] = quantity_milli(amount) if name == "cpu" else quantity_units(amount)
            except ValueError as error:
                problems.append((f"pools[{number}].allocatable", f"pool {pool.name}: allocatable.{name}: {error}"))
        most = pool.max_booting if pool.max_booting is not None else _booting(text.drivers.get(pool.driver))
        pools.append(Pool(**{**_fields(pool), "allocatable": amounts, "max_booting": most}))
    drivers, kubernetes = dict(text.drivers), text.kubernetes
    for name, driver in text.drivers.items():
        try:
            drivers[name] = _with_credentials(driver, environ, is_service)
        except ValueError as error:
            problems.append((f"drivers.{name}", f"drivers.{name}: {error}"))
    try:
        kubeconfig = _with_credentials(kubernetes.kubeconfig, environ, is_service)
        kubernetes = msgspec.structs.replace(kubernetes, kubeconfig=kubeconfig)
    except ValueError as error:
        problems.append(("kubernetes.kubeconfig", f"kubernetes.kubeconfig: {error}"))
    slurm = text.slurm
    try:
        token = _with_credentials(slurm.restd_token, environ, is_service)
        slurm = msgspec.structs.replace(slurm, restd_token=token)
    except ValueError as error:
        problems.append(("slurm.restd_token", f"slurm.restd_token: {error}"))
    budgets = tuple(Budgets(**{**_fields(budget), "nodes": str(budget.nodes)}) for budget in text.policy.budgets)
    made = {
        "pools": tuple(pools),
        "drivers": drivers,
        "kubernetes": kubernetes,
        "slurm": slurm,
        "policy": Policy(**{**_fields(text.policy), "budgets": budgets}),
    }
    settings = Settings(**{**_fields(text), **made})
    problems += problems_of(settings)
    wrong = [*found.problems, *_further(problems, found)]
    if drivers_of is not None:
        wrong += _of_drivers(drivers_of(settings.drivers, settings.pools), settings, found)
    if wrong:
        raise told(wrong, "every setting: docs/reference/clues-settings.md; then run: clues config check")
    return Loaded(settings, loaded.origins, loaded.nodes)


def _booting(driver: Mapping[str, Any] | None) -> int | None:
    """Return how many machines a driver lets boot at once; what is no such number is the driver's to refuse."""
    if driver is None:
        return None
    most = driver.get("booting", BOOTING.get(str(driver.get("type"))))
    return most if isinstance(most, int) and not isinstance(most, bool) and most >= 1 else None


_STEP: Final = re.compile(r"\[([0-9]+)\]|([^.\[\]]+)")


def warnings(loaded: Loaded[Settings]) -> list[Problem]:
    """Return what is allowed and probably not meant, with its places."""
    return [Problem(loaded.place(_split(name)), said) for name, said in warnings_of(loaded.value)]


def _split(name: str) -> Steps:
    return tuple(int(number) if number else word for number, word in _STEP.findall(name))


def _steps(name: str, found: Examined[Any]) -> Steps:
    return found.fitted.original(_split(name))


def _further(problems: Sequence[tuple[str, str]], found: Examined[Any]) -> Iterator[Problem]:
    """Give problems their places; leaves out those that only follow from what could not be read."""
    gone = _left_out(found.problems)
    for name, said in problems:
        steps = _steps(name, found)
        if not _follows(steps, said, gone):
            yield Problem(found.loaded.place(steps), said)


def _left_out(problems: Sequence[Problem]) -> dict[Steps, set[str]]:
    """Return, for every section and thing of a list, the names of what was left out of it."""
    gone: dict[Steps, set[str]] = {}
    for problem in problems:
        names = [n for n, step in enumerate(problem.steps) if isinstance(step, str)]
        if names:
            gone.setdefault(problem.steps[: names[-1]], set()).add(str(problem.steps[names[-1]]))
    return gone


def _follows(steps: Steps, said: str, gone: Mapping[Steps, set[str]]) -> bool:
    """Whether a sentence is about something that was left out of what it speaks of, or of a section around it."""
    around = [words for end in range(len(steps) + 1) if (words := gone.get(steps[:end]))]
    return any(re.search(rf"\b{re.escape(word)}\b", said) for words in around for word in words)


def _of_drivers(errors: Sequence[InfraError], settings: Settings, found: Examined[Any]) -> Iterator[Problem]:
    numbers = {f"pool {pool.name}": number for number, pool in enumerate(settings.pools)}
    gone = _left_out(found.problems)
    for error in errors:
        about = error.message.partition(":")[0]
        steps = _steps(f"pools[{numbers[about]}]" if about in numbers else about, found)
        if not _follows(steps, error.message, gone):
            known = steps[:1] in {("drivers",), ("pools",)}
            yield Problem(found.loaded.place(steps) if known else "", error.message, error.hint)


def _fields(value: msgspec.Struct) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__struct_fields__}


def _with_credentials(value: Any, environ: Mapping[str, str], is_service: bool) -> Any:
    if isinstance(value, Mapping):
        return {key: _with_credentials(item, environ, is_service) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_credentials(item, environ, is_service) for item in value]
    if not (isinstance(value, str) and value.startswith(_CREDENTIAL)):
        return value
    name, folder = value.removeprefix(_CREDENTIAL), environ.get("CREDENTIALS_DIRECTORY", "")
    if not name or "/" in name or name in {".", ".."}:
        raise ValueError(f"{value!r} is not the name of a credential")
    if not folder and not is_service:
        return value
    if not folder:
        raise ValueError(f"{value!r} is a credential of the systemd unit, and this was not started by systemd")
    return str(Path(folder) / name)

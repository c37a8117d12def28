"""Reading the settings: layers, Kubernetes quantities, credentials; then all checks, reported together."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from clues.options import Budgets, Policy, Pool
from clues.settings.checks import problems_of
from clues.settings.docs import DOCS
from clues.settings.model import Settings
from infracore.errors import Misconfigured
from infracore.quantities import quantity_milli, quantity_units
from infracore.settings import Loaded, load

__all__ = ["files", "load_settings"]

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
) -> Loaded[Settings]:
    """Load and check the settings: command line, environment (`CLUES_*`), file, default.

    A text `credential:NAME` under `drivers`, as kubeconfig or as token becomes the path of that credential of the
    systemd unit (`LoadCredential=NAME:...`). Where there are none, `is_service` makes that an error; who only asks or
    checks has the text instead. Only a file that was asked for by name must be there.

    Raises:
        Misconfigured: all that is wrong, one line each, with the place where it stands.
    """
    named = config is not None or bool(environ.get("CLUES_CONFIG"))
    read = files(environ, config)
    if named and not read[0].is_file():
        raise Misconfigured(f"there is no settings file {read[0]}", "begin with the example systemd/clues.yaml")
    loaded = load(_SettingsText, "clues", files=read, environ=environ, overrides=overrides or {}, docs=DOCS)
    text, problems = loaded.value, []
    pools = []
    for pool in text.pools:
        amounts: dict[str, int] = {}
        for name, amount in pool.allocatable.items():
            try:
                amounts[name] = quantity_milli(amount) if name == "cpu" else quantity_units(amount)
            except ValueError as error:
                problems.append(("pools", f"pool {pool.name}: allocatable.{name}: {error}"))
        pools.append(Pool(**{**_fields(pool), "allocatable": amounts}))
    try:
        drivers = {name: _with_credentials(driver, environ, is_service) for name, driver in text.drivers.items()}
        kubernetes = msgspec.structs.replace(
            text.kubernetes, kubeconfig=_with_credentials(text.kubernetes.kubeconfig, environ, is_service)
        )
        slurm = msgspec.structs.replace(
            text.slurm, restd_token=_with_credentials(text.slurm.restd_token, environ, is_service)
        )
    except ValueError as error:
        problems.append(("drivers", str(error)))
        drivers, kubernetes, slurm = dict(text.drivers), text.kubernetes, text.slurm
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
    if problems:
        lines = [f"{_origin(name, loaded.origins)}{said}" for name, said in problems]
        raise Misconfigured("\n".join(lines), "run: clues config show --origin")
    return Loaded(settings, loaded.origins)


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


def _origin(name: str, origins: Mapping[str, str]) -> str:
    """Return the place of the setting, or of the first that is set below it."""
    found = [
        where for key, where in origins.items() if (key == name or key.startswith(f"{name}.")) and where != "default"
    ]
    return f"{found[0]}: " if found else ""

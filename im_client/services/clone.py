"""`im clone`: another infrastructure of the same template and inputs."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from im_client.services.context import Context
from im_client.services.model import DeployRequest, Prepared
from im_client.services.prepare import find, prepare_deploy
from im_client.services.templates import StoredReader
from im_client.state.store import InfrastructureRecord, Source
from im_client.template.analysis import InputDefinition
from im_client.topology.values import Value
from infracore.errors import InvalidUsage
from infracore.secrets import Secret

__all__ = ["CloneRequest", "kept_inputs", "prepare_clone", "secret_inputs"]


@dataclass(frozen=True, slots=True)
class CloneRequest:
    """What the user says."""

    infra: str
    """Which one is cloned: a name or id."""
    name: str
    """Of the new one."""
    inputs: Mapping[str, Value] = field(default_factory=dict)
    """Inputs that differ."""
    provider: str | None = None
    """None: the same, with the same settings."""
    provider_settings: Mapping[str, Value] = field(default_factory=dict)
    configure: bool = True


def prepare_clone(ctx: Context, request: CloneRequest) -> Prepared:
    """Plan a new infrastructure from the recorded template, files and inputs of another, which stays as it is.

    Inputs come from the sealed record, secret ones too. Not taken over are values that the program made
    (`random(N)`: the clone gets its own), machines' numbers of `im scale`, and outputs. Golden images are, at the
    same provider.

    Raises:
        InvalidUsage: the new name is taken; or an input is the id of the cloned infrastructure, which the clone would
            then change in place of itself. NotFound: there is no such infrastructure. InvalidTemplate: as deploying.
    """
    record = find(ctx, request.infra)
    if any(request.name in {other.name, other.id} for other in ctx.store.infrastructures()):
        raise InvalidUsage(f"there is an infrastructure {request.name!r} already", "give the clone another name")
    old = record.source
    kept = kept_inputs(ctx, record, request.inputs)
    is_same_place = request.provider in {None, record.provider}
    source = Source(
        template=old.template,
        add_ons=old.add_ons,
        files=old.files,
        inputs={**kept, **request.inputs},
        images=old.images if is_same_place else {},
    )
    settings = {**(record.provider_settings if is_same_place else {}), **request.provider_settings}
    wanted = DeployRequest(
        template=old.template,
        add_ons=old.add_ons,
        name=request.name,
        provider=request.provider or record.provider,
        provider_settings=settings,
        configure=request.configure,
    )
    return prepare_deploy(ctx, wanted, source=source)


def kept_inputs(ctx: Context, record: InfrastructureRecord, said: Mapping[str, Value]) -> Mapping[str, Value]:
    """Return the recorded inputs that a clone has too: neither said anew, nor made by the program.

    Raises:
        InvalidUsage: one is the id of the infrastructure itself.
    """
    definitions = _definitions(ctx, record.source)
    kept = {
        name: value
        for name, value in record.source.inputs.items()
        if name not in said and (name not in definitions or definitions[name].random is None)
    }
    own = [name for name, value in kept.items() if _names(value, record.id)]
    if own:
        raise InvalidUsage(
            f"the input {', '.join(own)} of {record.name} is its own id: its clone would scale {record.name}",
            f"say it anew, with the token that goes with it; or none: {' '.join(f'-i {name}=' for name in own)}",
        )
    return kept


def secret_inputs(ctx: Context, infra: str) -> tuple[InputDefinition, ...]:
    """Return the secret inputs that were given to an infrastructure, those that the program made left out."""
    record = find(ctx, infra)
    definitions = _definitions(ctx, record.source)
    found = (definitions[name] for name in record.source.inputs if name in definitions)
    return tuple(one for one in found if one.secret and one.random is None)


def _definitions(ctx: Context, source: Source) -> Mapping[str, InputDefinition]:
    reader = StoredReader(source.files, ctx.reader())
    return ctx.analyse(source.template, reader, add_ons=source.add_ons, require_inputs=False).inputs


def _names(value: Value, infrastructure: str) -> bool:
    return (value.reveal() if isinstance(value, Secret) else value) == infrastructure

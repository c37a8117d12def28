"""Another infrastructure of the same at a server: ours makes it from what it has recorded, the original gets a text."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, Final

from im_client.services.model import DeployRequest
from im_client.services.remote.model import Kind, RemotePlan
from im_client.services.remote.planning import plan_deploy
from im_client.services.remote.reading import listing, radl_of
from im_client.services.remote.server import Server
from im_client.services.remote.template import Composed, compose_sent, refuse_here, sent_inputs, sent_topology
from im_client.settings import Settings
from im_client.template.analysis import InputDefinition
from im_client.topology.values import Value
from infracore.errors import InvalidUsage, Unsupported
from infracore.im_rest import Body, path_of

__all__ = ["prepare_clone", "secret_inputs"]

_JSON: Final = "application/json"


def prepare_clone(server: Server, settings: Settings, infra: str, request: DeployRequest) -> RemotePlan:
    """Plan an infrastructure `request.name` from the template and inputs of another, which stays as it is.

    Ours takes recorded inputs, secret ones too, without telling them. The original only has the text of the template:
    its inputs are the defaults in it, values that were made among them. Neither takes numbers of `im scale` over.

    Raises:
        InvalidUsage: the new name is taken; or an input is the id of the cloned infrastructure itself.
        Unsupported: something is asked that no server takes. InvalidTemplate: as deploying.
    """
    refuse_here(request)
    name = request.name or ""
    if any(name in {one.id, *one.aliases} for one in listing(server)):
        raise InvalidUsage(f"there is an infrastructure {name!r} at {server.address} already", "give another name")
    if server.kind is Kind.OURS:
        asked = {"name": name, "inputs": {key: _plain(value) for key, value in request.inputs.items()}}
        body = Body(json.dumps(asked), _JSON)
        said = server.change("POST", path_of(infra, "clone", dry_run="yes"), body)
        composed = Composed(name, body, sent_topology(settings, said.member("radl")))
        plan = plan_deploy(server.address, server.kind, composed, None)
        return dataclasses.replace(plan, clone_of=infra)
    text, language = _text(server, infra)
    own = [
        key
        for key, one in sent_inputs(settings, text, language).items()
        if key not in request.inputs and one.default == infra
    ]
    if own:
        raise InvalidUsage(
            f"the input {', '.join(own)} is the infrastructure's own id: its clone would scale it",
            f"say it anew, with the token that goes with it; or none: {' '.join(f'-i {key}=' for key in own)}",
        )
    return plan_deploy(server.address, server.kind, compose_sent(settings, text, language, request), None)


def secret_inputs(server: Server, settings: Settings, infra: str) -> tuple[InputDefinition, ...]:
    """Return the secret inputs of the template of an infrastructure, those that a server makes left out."""
    found = sent_inputs(settings, *_text(server, infra)).values()
    return tuple(one for one in found if one.secret and one.random is None)


def _text(server: Server, infra: str) -> tuple[str, str]:
    """Return the template that a server has, and its language."""
    try:
        return server.get(path_of(infra, "tosca")).member("tosca"), "yaml"
    except Unsupported:  # made from RADL
        return radl_of(server, infra), "radl"


def _plain(value: Value) -> Any:
    """Return an input as JSON has it; words of the command line stay text, which the server reads as we do."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value

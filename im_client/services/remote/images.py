"""Images of machines at a server: which there are at the caller's clouds, one more of a machine, one fewer."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

from im_client.auth.server import cloud_ids
from im_client.services.remote.following import Follower
from im_client.services.remote.model import Kind, Machine
from im_client.services.remote.reading import look, machine_named
from im_client.services.remote.server import Server
from im_client.state.store import RunState
from im_client.topology.golden import golden_parts
from infracore.errors import (
    Cancelled,
    CommandFailed,
    Conflict,
    InfraError,
    InvalidUsage,
    NotFound,
    Several,
    Unauthorised,
    Unsupported,
)
from infracore.events import Listener
from infracore.im_rest import path_of

__all__ = ["Image", "Listed", "delete", "find_image", "images", "machine_of", "save"]


@dataclass(frozen=True, slots=True)
class Image:
    """One image as a server tells it."""

    cloud: str
    """Id of the cloud, as the auth file or our server calls it."""
    name: str
    address: str
    """What a template says to start from it."""


@dataclass(frozen=True, slots=True)
class Listed:
    """The images of all clouds that could be asked."""

    images: tuple[Image, ...]
    silent: Mapping[str, InfraError] = field(default_factory=dict)
    """Cloud that could not be asked -> why."""


def images(server: Server) -> Listed:
    """Return the images that the caller may use, cloud by cloud, as the server orders them.

    Raises:
        InvalidUsage: the auth file names no cloud, and the server does not say which there are.
        What a cloud answers, where none tells its images.
    """
    found: list[Image] = []
    errors: list[InfraError] = []
    silent: dict[str, InfraError] = {}
    clouds = _clouds(server)
    for cloud in clouds:
        try:
            said = server.get(_path(cloud)).data.get("images")
        except Cancelled:
            raise
        except InfraError as error:
            errors.append(error)
            if not isinstance(error, Unsupported):  # a cloud that keeps no images has none
                silent[cloud] = error
            continue
        found += [
            Image(cloud, str(one.get("name") or one["uri"]), one["uri"])
            for one in (said if isinstance(said, list) else [])
            if isinstance(one, dict) and isinstance(one.get("uri"), str)
        ]
    if errors and len(errors) == len(clouds):
        raise errors[0] if len(errors) == 1 else Several(errors)
    return Listed(tuple(found), silent)


def find_image(server: Server, word: str, cloud: str | None = None) -> Image:
    """Return the image of a name or address.

    Raises:
        NotFound: there is none. Conflict: there are several.
    """
    listed = images(server)
    found = [
        one
        for one in listed.images
        if word in {one.name, one.address, golden_parts(one.address)[1]} and cloud in {None, one.cloud}
    ]
    if not found:
        unasked = f"; not asked: {', '.join(listed.silent)}" if listed.silent else ""
        raise NotFound(
            f"there is no image {word!r} at {server.address}{unasked}", "im image list shows those that there are"
        )
    if len(found) > 1:
        places = ", ".join(f"{one.address} ({one.cloud})" for one in found)
        raise Conflict(f"there are {len(found)} images {word!r}", f"say its address, or --site: {places}")
    return found[0]


def machine_of(server: Server, infra: str, word: str) -> Machine:
    """Return the one machine that is meant. Raises InvalidUsage where there is none, or several."""
    found = machine_named(look(server, infra), word)
    if len(found) > 1:
        raise InvalidUsage(f"{word} is {len(found)} machines", f"say which: {', '.join(m.name for m in found)}")
    return found[0]


def save(
    server: Server, infra: str, machine: Machine, name: str, *, listener: Listener, cancel: threading.Event
) -> Image:
    """Have the first disk of a machine saved as an image, and wait until that is done.

    Raises:
        Cancelled: ours was asked to stop, and did. CommandFailed: it failed. Otherwise as the server says.
    """
    server.cancel = cancel
    said = server.change("PUT", path_of(infra, "vms", machine.id, "disks", "0", "snapshot", image_name=name))
    address = said.member("uri") or said.text.strip()
    if said.status == 202:
        ended = Follower(server, listener, cancel).until_done(infra, said, is_there=bool)
        if ended.state is RunState.INTERRUPTED:
            raise Cancelled(ended.error or "the image was not made", ended.hint)
        if ended.state is not RunState.DONE:
            raise CommandFailed(ended.error or "the image was not made", ended.hint)
        return find_image(server, name)
    return Image(golden_parts(address)[0] or "", name, address)


def delete(server: Server, image: Image) -> None:
    """Delete an image of the caller's own.

    Raises:
        Unsupported: the original deletes none. NotFound, Conflict: as the server says.
    """
    if server.kind is not Kind.OURS:
        raise Unsupported(
            f"{server.address} runs the {server.kind}, which deletes no images", "delete it at the cloud itself"
        )
    server.change("DELETE", _path(image.cloud, golden_parts(image.address)[1]), has_key=False)


def _path(cloud: str, *image: str) -> str:
    return "/".join(["/clouds", quote(cloud, safe=""), "images", *(quote(one, safe="") for one in image)])


def _clouds(server: Server) -> Sequence[str]:
    found: Sequence[str] = ()
    if server.kind is Kind.OURS:
        said = server.get("/clouds").data.get("clouds")
        ids = [one.get("id") for one in said if isinstance(one, dict)] if isinstance(said, list) else []
        found = [one for one in ids if isinstance(one, str)]
    else:
        found = cloud_ids(server.auth_file)
    if not found:
        raise Unauthorised(
            "your credentials are for no cloud of this server", "--auth-file FILE with a line of a cloud that has an id"
        )
    return found

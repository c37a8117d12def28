"""The shapes of JSON answers, for the OpenAPI document."""

from typing import Any, Final

from pydantic import BaseModel, Field

__all__ = [
    "ERRORS",
    "Images",
    "Machines",
    "OperationShape",
    "Problem",
    "QuotasShape",
    "Uri",
    "UriList",
    "clone_forms",
    "done_forms",
    "errors",
    "form",
    "json_form",
    "one_of",
    "schema_of",
    "snapshot_forms",
    "text_or_json",
    "uri_forms",
]


class Problem(BaseModel):
    """An error (RFC 9457); `message` and `code` are what the original has."""

    type: str
    title: str
    status: int
    detail: str
    message: str
    code: int
    hint: str | None = None
    problems: list[dict[str, Any]] | None = None


class Uri(BaseModel):
    """One address."""

    uri: str


class UriList(BaseModel):
    """Addresses."""

    uri_list: list[Uri] = Field(alias="uri-list")


class Machines(BaseModel):
    """How many machines are in which state."""

    total: int
    states: dict[str, int]


class OperationShape(BaseModel):
    """A change that somebody asked for."""

    id: str
    infrastructure: str
    kind: str
    state: str
    created_at: float
    started_at: float | None
    ended_at: float | None
    vms: list[int]
    progress: Machines | None
    summary: str
    error: str
    hint: str


class NamedImage(BaseModel):
    """An image."""

    uri: str
    name: str


class Images(BaseModel):
    """Images that the caller may use."""

    images: list[NamedImage]


class ShareShape(BaseModel):
    """How much is used and how much there is; a limit of -1: none, or not told."""

    used: int | float
    limit: int | float


class QuotaShape(BaseModel):
    """How much room there is: memory (`ram`) and `volume_storage` in GiB."""

    cores: ShareShape
    ram: ShareShape
    instances: ShareShape
    volume_storage: ShareShape


class QuotasShape(BaseModel):
    """The quotas of a cloud."""

    quotas: QuotaShape


_MEANINGS: Final = {
    400: "The request, or what it makes of the infrastructure, is wrong; or the cloud refused.",
    401: "The caller is not known.",
    403: "The caller may not do this.",
    404: "There is no such thing.",
    409: "Something else goes on, or was quicker.",
    412: "If-Match names another version.",
    413: "The body is too large.",
    415: "A media type that is not spoken here.",
    422: "The Idempotency-Key was used for another request.",
    503: "Not now; Retry-After says when.",
}


def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """Return the schema of a model, the models in it written out in their places."""
    whole = model.model_json_schema(by_alias=True)
    parts: dict[str, Any] = whole.pop("$defs", {})

    def written(thing: Any) -> Any:
        if isinstance(thing, dict):
            name = str(thing.get("$ref", "")).rpartition("/")[2]
            return written(parts[name]) if name in parts else {key: written(value) for key, value in thing.items()}
        return [written(item) for item in thing] if isinstance(thing, list) else thing

    found: dict[str, Any] = written(whole)
    return found


_PROBLEM_SHAPE: Final = schema_of(Problem)
_URI_OR_DRY_RUN: Final = {
    "anyOf": [
        schema_of(Uri),
        {
            "description": "With dry_run: what each cloud would have to give.",
            "type": "object",
            "additionalProperties": {"type": "object", "required": ["cloudType", "compute", "storage"]},
        },
    ]
}
_PROBLEM: Final = {
    "application/problem+json": {"schema": _PROBLEM_SHAPE},
    "text/plain": {"schema": {"type": "string"}},
    "text/html": {"schema": {"type": "string"}},
}


def form(description: str, content: dict[str, Any], headers: dict[str, Any] | None = None) -> dict[str, Any]:
    """Describe one answer."""
    found: dict[str, Any] = {"description": description, "content": content}
    if headers:
        found["headers"] = headers
    return found


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe the errors with these statuses."""
    return {status: form(_MEANINGS[status], _PROBLEM) for status in statuses}


ERRORS: Final = errors(400, 401, 403, 404, 409, 412, 413, 415, 422, 503)


_VERSION: Final = {"ETag": {"description": "Version of what is wanted.", "schema": {"type": "string"}}}


def json_form(
    schema: type[BaseModel] | dict[str, Any], description: str = "Done.", *, version: bool = False
) -> dict[int | str, dict[str, Any]]:
    """Describe a JSON answer and the errors."""
    made = schema if isinstance(schema, dict) else schema_of(schema)
    content = {"application/json": {"schema": made}}
    return {200: form(description, content, _VERSION if version else None), **ERRORS}


def one_of(name: str) -> dict[str, Any]:
    """Describe an object with one member."""
    return {"type": "object", "properties": {name: {}}, "required": [name]}


def text_or_json(name: str, description: str = "Done.", *, version: bool = False) -> dict[int | str, dict[str, Any]]:
    """Describe a property: text, or JSON with one member."""
    content = {"text/plain": {"schema": {"type": "string"}}, "application/json": {"schema": one_of(name)}}
    return {200: form(description, content, _VERSION if version else None), **ERRORS}


_OPERATION_HEADERS: Final = {
    **_VERSION,
    "InfID": {"description": "Id of the infrastructure.", "schema": {"type": "string"}},
    "Operation": {"description": "Address of the operation.", "schema": {"type": "string"}},
}


def uri_forms(*, many: bool, operation: bool = False, version: bool = False) -> dict[int | str, dict[str, Any]]:
    """Describe an answer of addresses."""
    schema = schema_of(UriList) if many else _URI_OR_DRY_RUN
    content = {
        "text/uri-list": {"schema": {"type": "string"}},
        "text/plain": {"schema": {"type": "string"}},
        "application/json": {"schema": schema},
    }
    headers = _OPERATION_HEADERS if operation else _VERSION if version else None
    return {200: form("Done.", content, headers), **ERRORS}


def done_forms() -> dict[int | str, dict[str, Any]]:
    """Describe an empty answer, and that of a change that takes longer than the server waits."""
    text = {"text/plain": {"schema": {"type": "string"}}}
    return {
        200: form("Done.", text, _OPERATION_HEADERS),
        202: form("Accepted, and still going on: look at the operation.", text, _OPERATION_HEADERS),
        **ERRORS,
    }


def clone_forms() -> dict[int | str, dict[str, Any]]:
    """Describe an answer with the address of an infrastructure; with `dry_run`, what it would be."""
    text = {"schema": {"type": "string"}}
    shapes = {"anyOf": [schema_of(Uri), one_of("radl")]}
    content = {"text/uri-list": text, "text/plain": text, "application/json": {"schema": shapes}}
    return {200: form("Done.", content, _OPERATION_HEADERS), **ERRORS}


def snapshot_forms() -> dict[int | str, dict[str, Any]]:
    """Describe an answer with the address of an image."""
    text = {"schema": {"type": "string"}}
    content = {"text/plain": text, "text/uri-list": text, "application/json": {"schema": schema_of(Uri)}}
    return {**done_forms(), 200: form("Done.", content, _OPERATION_HEADERS)}


TEMPLATE_BODY: Final = {
    "requestBody": {
        "required": True,
        "content": {
            "text/yaml": {"schema": {"type": "object"}},
            "application/yaml": {"schema": {"type": "object"}},
            "text/x-yaml": {"schema": {"type": "object"}},
            "text/plain": {"schema": {"type": "string"}},
            "application/json": {"schema": {"type": "array", "items": {"type": "object"}}},
        },
    }
}

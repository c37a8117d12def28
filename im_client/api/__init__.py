"""The REST API of `im serve`: that of the Infrastructure Manager, and what it lacks.

For: HTTP to use cases and back. The only home of FastAPI, Starlette, uvicorn and pydantic.
May import: `services`, `state` (for its records), `infracore`. Never: decides, plans, or calls a provider.
A handler recognises the caller first; only then is the body read. Tests: `tests/im_client/api/`.
"""

from pydantic import BaseModel

BaseModel.model_config["defer_build"] = True
"""FastAPI's own models of OpenAPI documents are built when the first is asked for: a tenth of the time to start."""

"""OpenAPI that is true to the routes: they read their bodies themselves, with bounds."""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from schemas.topics.interactions import Interaction
from schemas.wire.rest import (
    Accepted,
    ChatRequest,
    FeedbackRequest,
    InteractionRequest,
    Problem,
    Profile,
    Pushes,
)

_REFERENCE: Final = "#/components/schemas/{model}"
_REQUESTS: Final[tuple[type[BaseModel], ...]] = (
    InteractionRequest,
    Interaction,
    ChatRequest,
    FeedbackRequest,
)
_ANSWERS: Final[tuple[type[BaseModel], ...]] = (Accepted, Profile, Pushes, Problem)
_PROBLEMS: Final = {
    401: "The token is missing or not valid",
    403: "The token does not allow it, or says of no consent",
    404: "Nothing is known of this learner",
    413: "The body or a text is too large",
    415: "The body is not application/json",
    422: "The body or a parameter is not what it should be; `field` names where",
    429: "Too many requests, or too much under way; Retry-After says when to try again",
    503: "A service behind the gateway does not answer; try again with the same id",
}
_KEY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 64},
    "description": "id of the message where the body has none; makes a retry harmless",
}


PUSHES_QUERY: Final[tuple[dict[str, Any], ...]] = (
    {
        "name": "epoch",
        "in": "query",
        "required": False,
        "schema": {"type": "string", "minLength": 1, "maxLength": 64},
        "description": "with `offset`: the place that you have everything up to, of the last "
        "frame that you got. Without both, the answer is `hello`",
    },
    {
        "name": "offset",
        "in": "query",
        "required": False,
        "schema": {"type": "integer", "minimum": 0},
        "description": "with `epoch`",
    },
    {
        "name": "wait",
        "in": "query",
        "required": False,
        "schema": {"type": "number", "minimum": 0},
        "description": "seconds to wait for a push, at most `gateway.most_poll_wait` (25), which "
        "is also the default",
    },
)
"""Parameters of GET /pushes."""


def described(
    body: type[BaseModel] | None,
    good: type[BaseModel],
    query: tuple[dict[str, Any], ...] = (),
) -> dict[str, Any]:
    """Keyword arguments that tell FastAPI of a route's body, query and answers."""
    status = 200 if body is None else 202
    without = {404} if body is not None else {413, 415, 404 if query else 422}
    responses: dict[int | str, dict[str, Any]] = {
        status: {"description": "As asked" if body is None else good.__doc__, **_json(good)}
    }
    for code, description in _PROBLEMS.items():
        if code not in without:
            responses[code] = {"description": description, **_json(Problem)}
    extra: dict[str, Any] = {"security": [{"bearer": []}]}
    if body is not None:
        extra["requestBody"] = {"required": True, **_request(body)}
        extra["parameters"] = [_KEY]
    if query:
        extra["parameters"] = list(query)
    return {"responses": responses, "openapi_extra": extra, "response_model": None}


def install(app: FastAPI) -> None:
    """Complete the app's OpenAPI document with our models and the bearer token."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        components = document.setdefault("components", {})
        _, schemas = models_json_schema(
            [(model, "validation") for model in _REQUESTS]
            + [(model, "serialization") for model in _ANSWERS],
            ref_template=_REFERENCE,
        )
        components.setdefault("schemas", {}).update(schemas.get("$defs", {}))
        # FastAPI's own 422, for parameters that cannot be wrong here.
        for name in ("HTTPValidationError", "ValidationError"):
            components["schemas"].pop(name, None)
        for operation in (one for path in document["paths"].values() for one in path.values()):
            if "HTTPValidationError" in str(operation["responses"].get("422")):
                del operation["responses"]["422"]
        components["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
        }
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _json(model: type[BaseModel]) -> dict[str, Any]:
    reference = {"$ref": _REFERENCE.format(model=model.__name__)}
    return {"content": {"application/json": {"schema": reference}}}


def _request(model: type[BaseModel]) -> dict[str, Any]:
    if model is not InteractionRequest:
        return _json(model)
    # As in the first version of this system: a single interaction is taken, too.
    either = [{"$ref": _REFERENCE.format(model=one.__name__)} for one in (model, Interaction)]
    return {"content": {"application/json": {"schema": {"anyOf": either}}}}

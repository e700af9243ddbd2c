"""The OpenAPI description, made from the types that requests are decoded with."""

from typing import Any

import msgspec

from pneg.errors import needs
from pneg.web.serving.limits import JSON, Limits
from pneg.web.serving.messages import Health, Problem, Question, Ranking

with needs("serve"):
    from fastapi import FastAPI
    from fastapi.openapi.utils import get_openapi

ABOUT = "Orders responses by how well they fit a dialogue context."
QUESTION = {"context": ["Are you hungry?"], "candidates": ["Hungary is lovely.", "A little."]}
RANKING = {
    "ranking": [
        {"candidate": "A little.", "score": 3.25, "index": 1},
        {"candidate": "Hungary is lovely.", "score": -1.5, "index": 0},
    ]
}
KEY = {"type": "http", "scheme": "bearer", "description": "The key that the server was started with."}


def routes(bounds: Limits, *, keyed: bool) -> dict[str, dict[str, Any]]:
    """What FastAPI is told of each path.

    Args:
        bounds: of a request.
        keyed: whether a key is asked for.
    """
    locked: dict[str, Any] = {"security": [{"key": []}]} if keyed else {}
    refused = {401: _problem("The key is missing or wrong.", "the key is missing or wrong; ...")} if keyed else {}
    too_many = f"$.context has {bounds.turns + 1} turns, at most {bounds.turns} are taken; send the last ones"
    busy = _problem("More waits than may.", "more is waiting than is taken; try again in 2 s")
    wait = {"description": "Seconds after which to try again.", "schema": {"type": "integer"}}
    asked = {"schema": _ref("Question"), "examples": {"two candidates": {"value": QUESTION}}}
    return {
        "/rank": {
            "openapi_extra": {**locked, "requestBody": {"required": True, "content": {JSON: asked}}},
            "responses": {
                200: _answer("The candidates, best first.", "Ranking", RANKING),
                400: _problem("The body is no JSON.", "the body is no JSON: Input data was truncated; ..."),
                **refused,
                408: _problem("The body came in too slowly.", "the body did not come in within 30 seconds"),
                413: _problem(f"The body has over {bounds.bytes} bytes.", "the body is longer than ...; send fewer"),
                415: _problem("The body is not called JSON.", "the Content-Type is not application/json; ..."),
                422: _problem("It is JSON of another shape, or over a limit.", too_many),
                500: _problem("The selector failed.", "the selector failed on this request; its log says why"),
                503: {**busy, "headers": {"Retry-After": wait}},
            },
        },
        "/healthz": {"responses": {200: _answer("The server answers.", "Health", {"status": "ok"})}},
        "/metrics": {
            "openapi_extra": locked,
            "responses": {
                200: {"description": "Metrics.", "content": {"text/plain": {"schema": {"type": "string"}}}},
                **refused,
            },
        },
    }


def document(app: FastAPI, bounds: Limits, *, keyed: bool) -> dict[str, Any]:
    """The whole description; arguments as of `routes`."""
    found = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    _, schemas = msgspec.json.schema_components(
        [Question, Ranking, Health, Problem], ref_template="#/components/schemas/{name}"
    )
    for name in ("context", "persona"):
        schemas["Question"]["properties"][name]["maxItems"] = bounds.turns
    schemas["Question"]["properties"]["candidates"]["maxItems"] = bounds.candidates
    found["components"] = {"schemas": schemas, **({"securitySchemes": {"key": KEY}} if keyed else {})}
    return found


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _answer(what: str, kind: str, example: object) -> dict[str, Any]:
    return {"description": what, "content": {JSON: {"schema": _ref(kind), "example": example}}}


def _problem(what: str, detail: str) -> dict[str, Any]:
    return _answer(what, "Problem", {"detail": detail})

"""The OpenAPI document of the patient graph API: what FastAPI finds, with all that a reader needs beside it.

Who may call what (`rules.py`), examples of every answer (those of the models in their envelope, one for each error),
the headers of answers, and what every endpoint may answer beside what it says itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from starlette.routing import BaseRoute

from capability.roles import roles
from fhir_server.graph.errors import CODES, INVALID_BODY
from fhir_server.graph.models.common import Sent, Shown
from fhir_server.graph.route import GraphRoute
from fhir_server.graph.rules import Rule

JSON: Final = "application/json"
BEARER: Final = "accessToken"
BODY_ERRORS: Final[Mapping[int, str]] = {
    408: "The body did not come in time",
    413: "The body is larger than the server takes",
    415: "The body is not JSON",
}
"""What every endpoint that takes a body may answer."""

PARAMETERS: Final[Mapping[str, tuple[str, Any]]] = {
    "action": ("What was done", "read"),
    "actorId": ("Who asked", "user_2abc123"),
    "channel": ("Where it was said", "app"),
    "customerId": ("Id of the customer", "123e4567-e89b-12d3-a456-426614174000"),
    "dataType": ("The metric", "glucose"),
    "email": ("E-mail address", "patient@example.com"),
    "ended": ("Whether it has ended", False),
    "externalId": ("The id in the other system", "cus_456"),
    "externalSystem": ("The other system", "stripe"),
    "fromDate": ("Not before", "2026-03-01"),
    "id": ("Id of the row", "0195b0a2-0c1e-7000-8000-2f5d1d6f0a11"),
    "identifierType": ("What kind of id it is", "stripe_customer_id"),
    "limit": ("Results per page", 20),
    "offset": ("Results to skip", 0),
    "outcome": ("What came of it", "certain"),
    "requestId": ("X-Request-Id of an answer", "4ac3fbd37346dbae"),
    "resource": ("The resource of the patient graph, or a FHIR resource type", "lab_results"),
    "rimoTreatmentId": ("What Rimo calls the treatment", "rimo_456"),
    "sessionId": ("The conversation", "session_42"),
    "status": ("The state", "active"),
    "toDate": ("Not after", "2026-03-20"),
    "treatmentId": ("Id of the treatment", "019586e0-7c00-7000-8000-000000000789"),
    "type": ("The type of the event", "lab_parsed"),
}
"""Name → description and example, where the endpoint gives none."""

FAILURES: Final[Mapping[int, Mapping[str, Any]]] = {
    400: {
        "message": INVALID_BODY,
        "details": {"issues": [{"path": ["dateOfBirth"], "message": "Input should be a valid date"}]},
    },
    401: {"message": "Invalid or expired JWT token"},
    403: {"message": "Insufficient permissions to access this resource"},
    404: {"message": "Profile not found"},
    408: {"message": "The body did not come in time"},
    409: {
        "code": "VALIDATION_ERROR",
        "message": "The status cannot go from completed to active",
        "details": {"allowed": []},
    },
    413: {"message": "The body is too large"},
    415: {"message": "Send JSON with Content-Type: application/json, as it is, or as gzip unless it is signed"},
    429: {"message": "Too many requests. Try again in 45 seconds.", "retryAfter": 45},
    500: {"message": "An internal error occurred", "requestId": "4ac3fbd37346dbae"},
    503: {"message": "The server cannot answer now. Try again soon.", "retryAfter": 2},
}
SUCCESSES: Final = {"Successful Response": "Done"}
PAGE: Final = {"page": 1, "limit": 20, "offset": 0, "total": 1, "hasMore": False}


def _header(description: str, example: Any, schema: str = "integer") -> dict[str, Any]:
    return {"description": description, "schema": {"type": schema}, "example": example}


REQUEST_ID: Final = {"X-Request-Id": _header("What log and audit know the request by", "4ac3fbd37346dbae", "string")}
RATE: Final = {
    "X-RateLimit-Limit": _header("Requests that the caller may make within the window", 100),
    "X-RateLimit-Remaining": _header("Requests that are left now", 73),
    "X-RateLimit-Reset": _header("When the next one is free, in seconds since 1970 UTC", 1710958200),
}
WAIT: Final = {"Retry-After": _header("Seconds to wait", 45)}


def described(title: str, version: str, about: str, server: str, routes: list[GraphRoute]) -> dict[str, Any]:
    """Return the OpenAPI document of these endpoints."""
    listed: list[BaseRoute] = list(routes)
    document = get_openapi(
        title=title,
        version=version,
        description=about,
        routes=listed,
        servers=[{"url": server}],
        openapi_version="3.1.0",
    )
    components = document["components"]
    components["securitySchemes"] = {
        BEARER: {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "An OAuth 2.0 access token"}
    }
    schemas = components["schemas"]
    for name, examples in _declared(Sent, Shown):
        if name in schemas:
            schemas[name]["examples"] = examples
    for path, method, route in _operations(routes):
        _complete(document["paths"][path][method], route, schemas)
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    return document


def _declared(*models: type[BaseModel]) -> Iterator[tuple[str, list[Any]]]:
    """Yield the examples that models declare, by name: FastAPI leaves out of them what is null."""
    for model in models:
        extra = model.model_config.get("json_schema_extra")
        if isinstance(extra, dict) and "examples" in extra:
            yield model.__name__, cast("list[Any]", extra["examples"])
        yield from _declared(*model.__subclasses__())


def _operations(routes: list[GraphRoute]) -> Iterator[tuple[str, str, GraphRoute]]:
    for route in routes:
        for method in sorted(route.methods or ()):
            yield route.path_format, method.lower(), route


def _complete(operation: dict[str, Any], route: GraphRoute, schemas: dict[str, Any]) -> None:
    """Add to an operation what FastAPI cannot know."""
    rule = route.rule
    said = (operation.get("description") or route.name).strip()
    operation["operationId"] = route.name
    operation["summary"] = said.split(". ")[0].split("\n")[0].rstrip(".")
    operation["description"] = f"{said}\n\n{_guard(rule)}"
    operation["security"] = [] if rule.signed else [{BEARER: []}]
    if not rule.signed:
        operation["x-permission"] = f"{rule.resource}:{rule.action.value}"
    for parameter in operation.get("parameters", ()):
        _explain(parameter, schemas)
    responses = operation["responses"]
    responses.pop("422", None)
    if "requestBody" in operation:
        _lift_definitions(operation["requestBody"]["content"][JSON], schemas)
        _show_body(operation["requestBody"]["content"][JSON], schemas)
        for status, description in BODY_ERRORS.items():
            responses.setdefault(str(status), {"description": description, **_content(_reference("Failure"))})
        operation["responses"] = dict(sorted(responses.items()))
    for status, response in responses.items():
        _show(response, int(status), schemas, is_signed=rule.signed)


def _guard(rule: Rule) -> str:
    if rule.signed:
        return "The request bears a signature, no token."
    named = {role.graph_role or role.name for role in roles().values() if rule.action in role.actions(rule.resource)}
    return f"Requires `{rule.resource}:{rule.action.value}`: {', '.join(sorted(named, key=str.lower))}."


def _explain(parameter: dict[str, Any], schemas: Mapping[str, Any]) -> None:
    """Give a parameter a description and an example, and take away that it may be null: it is left out then."""
    schema = parameter["schema"]
    kinds = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
    if len(kinds) == 1:
        rest = {name: value for name, value in schema.items() if name not in {"anyOf", "title"}}
        schema = parameter["schema"] = {**kinds[0], **rest}
    description, example = PARAMETERS.get(parameter["name"], ("", None))
    parameter["description"] = parameter.get("description") or schema.get("description") or description
    if "example" not in parameter and "examples" not in parameter:
        allowed = _resolved(schema, schemas).get("enum")
        found = schema.get("examples", allowed or [example])[0]
        if found is not None:
            parameter["example"] = found
    schema.pop("description", None)


def _lift_definitions(content: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Put the definitions of a schema that an endpoint brings itself among those of the document."""
    own = content["schema"].pop("$defs", {})
    if own:
        content["schema"] = _renamed(content["schema"])
        schemas.update({name: _renamed(schema) for name, schema in own.items()})


def _renamed(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _renamed(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_renamed(each) for each in value]
    return value.replace("#/$defs/", "#/components/schemas/") if isinstance(value, str) else value


def _show_body(content: dict[str, Any], schemas: Mapping[str, Any]) -> None:
    found = _examples(content["schema"], schemas)
    if found and "example" not in content and "examples" not in content:
        content["examples"] = {str(number): {"value": each} for number, each in enumerate(found, 1)}


def _show(response: dict[str, Any], status: int, schemas: Mapping[str, Any], *, is_signed: bool) -> None:
    """Give a response its headers, and an example of its body."""
    headers = {**REQUEST_ID, **({} if is_signed else RATE), **(WAIT if status in {429, 503} else {})}
    response["description"] = SUCCESSES.get(response.get("description", ""), response.get("description", ""))
    response["headers"] = {**headers, **response.get("headers", {})}
    content = response.get("content", {}).get(JSON)
    if content is None or "example" in content or "examples" in content:
        return
    if status in FAILURES:
        content["example"] = {"success": False, "error": {"code": CODES[status], **FAILURES[status]}}
        return
    example = _answer(content["schema"], schemas)
    if example is not None:
        content["example"] = example


def _answer(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Any:
    """Return an example of an envelope: the examples of what is in it."""
    envelope = _resolved(schema, schemas)
    own = envelope.get("examples")
    if own:
        return own[0]
    properties = envelope.get("properties", {})
    data = properties.get("data")
    if data is None:
        return None
    found = _examples(data, schemas)
    if not found:
        return None
    answer = {"success": True, "data": found[0]}
    if "pagination" in properties:
        members = _resolved(properties["pagination"], schemas)["properties"]
        answer["pagination"] = {name: PAGE.get(name, _first(said)) for name, said in members.items()}
    return answer


def _first(said: Mapping[str, Any]) -> Any:
    return said.get("examples", [None])[0]


def _examples(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> list[Any]:
    """Return the examples of a schema, of what it is a list of, or of what it may be."""
    whole = _resolved(schema, schemas)
    if whole.get("examples"):
        return list(whole["examples"])
    if whole.get("type") == "array":
        return [[each] for each in _examples(whole.get("items", {}), schemas)[:1]]
    return [example for each in whole.get("anyOf", ()) for example in _examples(each, schemas)]


def _resolved(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Mapping[str, Any]:
    name = schema.get("$ref", "").rpartition("/")[2]
    return schemas[name] if name else schema


def _reference(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _content(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"content": {JSON: {"schema": schema}}}

"""Answers of the patient graph API, held against its own OpenAPI document."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import httpx
from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from fhir_server.graph.application import graph_api

DOCUMENT = "urn:openapi"


@cache
def document() -> Mapping[str, Any]:
    """Return the OpenAPI document, as JSON has it."""
    found: Mapping[str, Any] = json.loads(json.dumps(graph_api().openapi()))
    return found


@cache
def _registry() -> Registry[Any]:
    return Registry().with_resource(DOCUMENT, Resource(contents=document(), specification=DRAFT202012))


def validator(pointer: str) -> Draft202012Validator:
    """Return what checks against the schema at a JSON pointer into the document."""
    return Draft202012Validator({"$ref": f"{DOCUMENT}#{pointer}"}, registry=_registry(), format_checker=FormatChecker())


def pointer(*steps: str | int) -> str:
    """Return a JSON pointer (RFC 6901)."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)


@cache
def _templates() -> tuple[tuple[str, re.Pattern[str]], ...]:
    paths = sorted(document()["paths"], key=lambda path: path.count("{"))
    return tuple((path, re.compile(re.sub(r"\{[^}]+\}", "[^/]+", path))) for path in paths)


def template_of(path: str) -> str | None:
    """Return the template of an address below `/graph`, None for what is no endpoint."""
    return next((template for template, pattern in _templates() if pattern.fullmatch(path)), None)


def faults(value: Any, where: str) -> list[str]:
    """Return what is wrong with a value according to the schema at a pointer."""
    return [f"{each.json_path}: {each.message}" for each in validator(where).iter_errors(value)]


def data_of(answer: httpx.Response, status: int = 200) -> Any:
    """Return what an answer gives; it has to have this status."""
    assert answer.status_code == status, answer.text
    return answer.json()["data"]


def require_described(answer: httpx.Response) -> None:
    """Fail for an answer that the document does not describe: its status, or what it holds."""
    answer.read()
    template = template_of(answer.request.url.path.removeprefix("/graph"))
    described = document()["paths"].get(template, {}).get(answer.request.method.lower())
    if described is None:
        return
    status = str(answer.status_code)
    said = f"{answer.request.method} {template}: {status}"
    assert status in described["responses"], f"{said} is not in the OpenAPI document"
    if not answer.content:
        return
    where = ("paths", template, answer.request.method.lower(), "responses", status)
    found = faults(answer.json(), pointer(*where, "content", "application/json", "schema"))
    assert not found, f"{said} is not as described: {found}"

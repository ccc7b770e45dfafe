"""The documentation page of every endpoint of the patient graph API, written from its OpenAPI document."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from fhir_server.graph.application import GRAPH_PATH, graph_api
from fhir_server.graph.description import JSON


def graph_markdown() -> str:
    """Return all endpoints with parameters, bodies and answers as Markdown."""
    return "\n".join(_lines(graph_api().openapi())) + "\n"


def _lines(document: Mapping[str, Any]) -> Iterator[str]:
    yield "# Endpoints of the patient graph API"
    yield ""
    yield "What each takes and answers; [the patient graph API](graph.md) says what they have in common. The same is at"
    yield "`/graph/openapi.json` for programs, without a token, with the schemas of all bodies."
    yield ""
    yield "| endpoint | requires | what |"
    yield "| --- | --- | --- |"
    operations = [
        (f"{method.upper()} {GRAPH_PATH}{path}", operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    for name, operation in operations:
        permission = operation.get("x-permission", "a signature")
        yield f"| [`{name}`](#{_anchor(name)}) | {permission} | {operation['summary']} |"
    for name, operation in operations:
        yield from _operation(name, operation)


def _anchor(name: str) -> str:
    return "".join(each for each in name.lower().replace(" ", "-") if each.isalnum() or each in "-_")


def _operation(name: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield ""
    yield f"## {name}"
    yield ""
    yield operation["description"]
    if operation.get("parameters"):
        yield ""
        yield "| parameter | in | default | what |"
        yield "| --- | --- | --- | --- |"
        for each in operation["parameters"]:
            default = each["schema"].get("default", "required" if each.get("required") else "")
            yield f"| `{each['name']}` | {each['in']} | {default} | {each['description']} |"
    if "requestBody" in operation:
        examples = operation["requestBody"]["content"][JSON].get("examples", {})
        for example in examples.values():
            yield from _block("Takes", example["value"])
    responses = operation["responses"]
    done = {status: response for status, response in responses.items() if status < "300"}
    for response in list(done.values())[:1]:
        yield from _block("Answers " + " or ".join(done), response["content"][JSON].get("example"))
    yield ""
    yield f"Refuses with {', '.join(status for status in responses if status >= '300')}."


def _block(title: str, value: Any) -> Iterator[str]:
    yield ""
    yield f"{title}:"
    yield ""
    yield "```json"
    yield json.dumps(value, indent=2, ensure_ascii=False)
    yield "```"

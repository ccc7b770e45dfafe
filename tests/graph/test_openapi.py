"""The OpenAPI document says all that there is, with examples that are as it says (issue 7 point 1)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.graph.answers import document, faults, pointer
from tests.graph.kit import GraphSite
from tests.graph.requests import SAMPLES
from tests.graph.test_matrix import ENDPOINTS

PATHS = document()["paths"]
OPERATIONS = [(path, method) for path, found in PATHS.items() for method in found]


def bodies(path: str, method: str) -> Iterator[tuple[str, Any, str]]:
    """Every body that an operation takes or gives: what it is, its media type object, and where its schema is."""
    operation = PATHS[path][method]
    if "requestBody" in operation:
        content = operation["requestBody"]["content"]["application/json"]
        yield "request", content, pointer("paths", path, method, "requestBody", "content", "application/json", "schema")
    for status, response in operation["responses"].items():
        content = response["content"]["application/json"]
        where = pointer("paths", path, method, "responses", status, "content", "application/json", "schema")
        yield status, content, where


def test_it_is_there_for_everybody(graph_site: GraphSite):
    answer = graph_site.bearing(None).get("/openapi.json")
    assert answer.status_code == 200
    assert answer.json() == document()


def test_every_endpoint_is_described_and_nothing_else():
    assert {f"{method.upper()} {path}" for path, method in OPERATIONS} == set(ENDPOINTS)


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_an_endpoint_says_what_it_does_and_who_may(path: str, method: str):
    operation = PATHS[path][method]
    assert 10 < len(operation["summary"]) < 120
    assert operation["description"].startswith(operation["summary"][:20])
    assert operation["tags"]
    sample = SAMPLES.get(f"{method.upper()} {path}")
    if sample is not None:
        assert operation["x-permission"] == f"{sample.resource}:{sample.action}"
        assert operation["security"] == [{"accessToken": []}]


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_every_parameter_has_a_description_and_an_example_that_fits(path: str, method: str):
    for number, parameter in enumerate(PATHS[path][method].get("parameters", ())):
        name = parameter["name"]
        assert parameter["description"], name
        assert {"type": "null"} not in parameter["schema"].get("anyOf", ()), f"{name} cannot be null in an address"
        assert "example" in parameter or "examples" in parameter, name
        examples = [parameter["example"]] if "example" in parameter else list(parameter["examples"].values())
        for example in examples:
            found = faults(example, pointer("paths", path, method, "parameters", number, "schema"))
            assert not found, (name, found)


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_every_body_has_an_example_that_fits(path: str, method: str):
    for what, content, where in bodies(path, method):
        examples = [content["example"]] if "example" in content else content.get("examples", {})
        values = [each["value"] for each in examples.values()] if isinstance(examples, dict) else examples
        assert values, f"{what} has no example"
        for value in values:
            found = faults(value, where)
            assert not found, (what, found)


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_every_endpoint_says_how_it_refuses(path: str, method: str):
    responses = PATHS[path][method]["responses"]
    expected = {"400", "401", "403", "429", "500", "503"}
    if "requestBody" in PATHS[path][method]:
        expected |= {"408", "413", "415"}
    if "{id}" in path:
        expected |= {"404"}
    assert expected <= set(responses)
    assert "422" not in responses
    for status, response in responses.items():
        assert "X-Request-Id" in response["headers"]
        assert ("Retry-After" in response["headers"]) == (status in {"429", "503"})


def test_every_member_of_a_schema_that_is_one_of_ours_has_a_type():
    for name, schema in document()["components"]["schemas"].items():
        for member, said in schema.get("properties", {}).items():
            assert set(said) - {"title", "description", "examples", "default"} or said.get("title"), f"{name}.{member}"

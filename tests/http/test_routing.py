"""Addresses and methods (FHIR R4 http.html#summary; fhir_rest H1, H2, H7, H15)."""

from __future__ import annotations

import pytest

from fhir_server.errors import (
    InteractionNotSupported,
    InvalidId,
    OperationNotSupported,
    UnknownAddress,
    UnknownResourceType,
)
from fhir_server.fhir.routing import Interaction, methods_at, route


@pytest.mark.parametrize(
    ("method", "path", "interaction", "template"),
    [
        ("GET", "metadata", Interaction.CAPABILITIES, "/metadata"),
        ("POST", "", Interaction.BUNDLE, "/"),
        ("GET", "Patient", Interaction.SEARCH_TYPE, "/[type]"),
        ("HEAD", "Patient", Interaction.SEARCH_TYPE, "/[type]"),
        ("POST", "Patient", Interaction.CREATE, "/[type]"),
        ("POST", "Patient/_search", Interaction.SEARCH_TYPE, "/[type]/_search"),
        ("GET", "Patient/1", Interaction.READ, "/[type]/[id]"),
        ("GET", "Patient/1/", Interaction.READ, "/[type]/[id]"),
        ("HEAD", "Patient/1", Interaction.READ, "/[type]/[id]"),
        ("PUT", "Patient/1", Interaction.UPDATE, "/[type]/[id]"),
        ("DELETE", "Patient/1", Interaction.DELETE, "/[type]/[id]"),
        ("PATCH", "Patient/1", Interaction.PATCH, "/[type]/[id]"),
        ("PUT", "Patient", Interaction.UPDATE, "/[type]"),
        ("PATCH", "Patient", Interaction.PATCH, "/[type]"),
        ("DELETE", "Patient", Interaction.DELETE, "/[type]"),
        ("GET", "Patient/1/_history", Interaction.HISTORY_INSTANCE, "/[type]/[id]/_history"),
        ("GET", "Patient/_history", Interaction.HISTORY_TYPE, "/[type]/_history"),
        ("GET", "_history", Interaction.HISTORY_SYSTEM, "/_history"),
        ("GET", "Patient/1/$everything", Interaction.OPERATION, "/[type]/[id]/$everything"),
        ("GET", "Patient/1/_history/7", Interaction.VREAD, "/[type]/[id]/_history/[vid]"),
    ],
)
def test_fhir_H1_method_and_address_name_the_interaction(method, path, interaction, template):
    found = route(method, path)
    assert (found.interaction, found.template) == (interaction, template)


def test_a_route_holds_type_id_and_version():
    found = route("GET", "Observation/a-1.B/_history/12")
    assert (found.resource_type, found.id, found.version) == ("Observation", "a-1.B", 12)


@pytest.mark.parametrize("path", ["patient", "PATIENT/1", "Patients", "DomainResource", "Unknown/1/_history"])
def test_fhir_H1_types_are_exact(path):
    with pytest.raises(UnknownResourceType):
        route("GET", path)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("TRACE", "Patient", ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")),
        ("POST", "Patient/1", ("GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS")),
        ("GET", "Patient/_search", ("POST", "OPTIONS")),
        ("DELETE", "Patient/1/_history", ("GET", "HEAD", "OPTIONS")),
        ("PUT", "", ("GET", "HEAD", "POST", "OPTIONS")),
    ],
)
def test_fhir_H1_a_method_that_is_not_allowed_names_those_that_are(method, path, allowed):
    with pytest.raises(InteractionNotSupported) as refusal:
        route(method, path)
    assert refusal.value.allow == allowed
    assert methods_at(path) == allowed


@pytest.mark.parametrize(
    "path",
    [
        "Observation/1/$everything",
        "$export",
        "Patient/1/$nothing",
    ],
)
def test_fhir_H1_an_operation_that_is_not_there_is_said_to_be_not_supported(path):
    with pytest.raises(OperationNotSupported):
        route("GET", path)


@pytest.mark.parametrize("path", ["Patient/$everything", "$everything", "Observation/1/$lastn"])
def test_an_operation_that_cannot_be_called_there_is_a_method_that_is_not_allowed(path):
    with pytest.raises(InteractionNotSupported) as refusal:
        route("GET", path)
    assert refusal.value.allow == ("OPTIONS",)


@pytest.mark.parametrize("name", ["with space", "a_b", "x" * 65, "ü", "a\n", "%31"])
def test_fhir_H2_an_id_that_cannot_be_one_is_unknown_on_reads_and_wrong_on_writes(name):
    with pytest.raises(UnknownAddress):
        route("GET", f"Patient/{name}")
    for method in ("PUT", "PATCH", "DELETE"):
        with pytest.raises(InvalidId):
            route(method, f"Patient/{name}")


@pytest.mark.parametrize("path", ["Patient/1/_history/0", "Patient/1/_history/x", "Patient/1/_history/-1", "Patient//"])
def test_fhir_R3_a_version_that_cannot_be_one_is_unknown(path):
    with pytest.raises(UnknownAddress):
        route("GET", path)

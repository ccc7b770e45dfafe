"""Entries of batch and transaction Bundles (FHIR R4 http.html#transaction; fhir_rest B1, B7, B8, B9, B14; AZ-11)."""

from __future__ import annotations

import pytest

from fhir_server.errors import BodyTooComplex, DuplicateEntry, InvalidBundle, RequestError
from fhir_server.fhir.entries import bundle_entries, bundle_kind, parse_entry, require_distinct
from fhir_server.fhir.routing import Interaction


def entry(method, url, full_url=None, **more):
    return {"fullUrl": full_url, "request": {"method": method, "url": url, **more}, "resource": {}}


@pytest.mark.parametrize("kind", ["batch", "transaction"])
def test_fhir_B1_the_kind_is(kind):
    assert bundle_kind({"resourceType": "Bundle", "type": kind}) == kind


@pytest.mark.parametrize(
    "body",
    [[], {"resourceType": "Patient"}, {"resourceType": "Bundle"}, {"resourceType": "Bundle", "type": "document"}],
)
def test_fhir_B14_what_is_no_batch_or_transaction_is_refused(body):
    with pytest.raises(InvalidBundle):
        bundle_kind(body)


def test_fhir_B12_more_entries_than_the_limit_are_refused():
    assert len(bundle_entries({"entry": [{}] * 3}, 3)) == 3
    with pytest.raises(BodyTooComplex):
        bundle_entries({"entry": [{}] * 4}, 3)


def test_fhir_B8_conditions_of_an_entry_are_headers():
    found = parse_entry(entry("PUT", "Patient/1", ifMatch='W/"2"'), 0)
    assert found.headers == {"if-match": 'W/"2"'}
    assert (found.route.interaction, found.route.id) == (Interaction.UPDATE, "1")


@pytest.mark.parametrize(
    ("raw", "element"),
    [
        ({"resource": {}}, "request"),
        (None, "request"),
        (entry("MERGE", "Patient"), "request.method"),
        (entry(None, "Patient"), "request.method"),
        (entry("GET", None), "request.url"),
        (entry("GET", ""), "request.url"),
        (entry("GET", "/Patient/1"), "request.url"),
        (entry("GET", "http://example.org/fhir/Patient/1"), "request.url"),
        (entry("GET", "Patient/../Observation/1"), "request.url"),
        (entry("POST", "/"), "request.url"),
        (entry("POST", "?_type=Patient"), "request.url"),
        (entry("GET", "metadata"), "request.url"),
        (entry("PUT", "Patient/1", ifMatch=3), "request.ifMatch"),
    ],
)
def test_fhir_B9_a_request_that_cannot_be_one_is_refused_with_its_place(raw, element):
    with pytest.raises(InvalidBundle) as refusal:
        parse_entry(raw, 4)
    assert refusal.value.expression == f"Bundle.entry[4].{element}"


@pytest.mark.parametrize(
    ("method", "url"), [("PATCH", "Patient/1/_history"), ("POST", "Patient/1"), ("GET", "Nothing/1")]
)
def test_fhir_B9_what_is_not_served_alone_is_not_served_in_a_bundle(method, url):
    with pytest.raises(RequestError):
        parse_entry(entry(method, url), 0)


@pytest.mark.parametrize(
    "raws",
    [
        [entry("PUT", "Patient/1"), entry("DELETE", "Patient/1")],
        [entry("PUT", "Patient/1"), entry("PUT", "Patient/1")],
        [entry("POST", "Patient", "urn:uuid:1"), entry("POST", "Patient", "urn:uuid:1")],
    ],
)
def test_fhir_B7_nothing_is_written_twice(raws):
    with pytest.raises(DuplicateEntry) as refusal:
        require_distinct([parse_entry(raw, place) for place, raw in enumerate(raws)])
    assert refusal.value.expression.startswith("Bundle.entry[1].")


def test_fhir_B7_reading_what_is_written_is_no_repetition():
    raws = [entry("PUT", "Patient/1"), entry("GET", "Patient/1"), entry("PUT", "Observation/1")]
    require_distinct([parse_entry(raw, place) for place, raw in enumerate(raws)])

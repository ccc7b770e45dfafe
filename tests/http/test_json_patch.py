"""JSON Patch without a server (RFC 6902; FHIR R4 http.html#patch; fhir_rest P1)."""

from __future__ import annotations

from decimal import Decimal

import pytest

from fhir_server.errors import BodyTooComplex, BodyTooLarge, ElementFixed, MalformedBody, PatchFailed, RequestError
from fhir_server.fhir.json_body import DEFAULT_LIMITS, encode_json, parse_json
from fhir_server.fhir.patch.patches import Bounds, entry_patch, json_patch, patched
from storage.codec import finished

BOUNDS = Bounds(2**20, DEFAULT_LIMITS)
OBSERVATION = {
    "resourceType": "Observation",
    "meta": {"tag": [{"code": "kept"}]},
    "status": "final",
    "code": {"coding": [{"system": "http://loinc.org", "code": "29463-7"}]},
    "valueQuantity": {"value": Decimal("6.10"), "unit": "kg"},
    "note": [{"text": "one"}, {"text": "two"}],
}
STORED = finished(OBSERVATION, "o", 3, 1_700_000_000_000)


def made(*operations):
    """Apply a patch that came as JSON."""
    return patched(json_patch(parse_json(encode_json(list(operations)))), STORED, BOUNDS)


def op(name, path, **more):
    return {"op": name, "path": path, **more}


@pytest.mark.parametrize(
    ("operations", "element", "value"),
    [
        ([op("add", "/issued", value="2024-01-01T10:00:00Z")], "issued", "2024-01-01T10:00:00Z"),
        ([op("add", "/note/1", value={"text": "between"})], "note", [{"text": x} for x in ("one", "between", "two")]),
        ([op("add", "/note/-", value={"text": "end"})], "note", [{"text": x} for x in ("one", "two", "end")]),
        ([op("remove", "/note/0")], "note", [{"text": "two"}]),
        ([op("replace", "/note/1/text", value="2")], "note", [{"text": "one"}, {"text": "2"}]),
        ([op("move", "/note/0", **{"from": "/note/1"})], "note", [{"text": "two"}, {"text": "one"}]),
        ([op("copy", "/note/-", **{"from": "/note/0"})], "note", [{"text": x} for x in ("one", "two", "one")]),
        ([op("test", "/status", value="final"), op("replace", "/status", value="amended")], "status", "amended"),
        ([op("test", "/note", value=[{"text": "one"}, {"text": "two"}])], "status", "final"),
    ],
)
def test_fhir_P1_operations(operations, element, value):
    assert made(*operations)[element] == value


def test_fhir_P1_keys_with_slash_and_tilde_are_escaped():
    extension = {"extension": [{"url": "http://example.org/a", "valueString": "x"}]}
    with pytest.raises(RequestError) as refusal:  # reached, and refused as no element of FHIR
        made(op("add", "/a~1b~0c", value=extension))
    assert not isinstance(refusal.value, PatchFailed)


@pytest.mark.parametrize("number", ["6.10", "6.1", "6.100", "61E-1"])
def test_fhir_P1_test_compares_numbers_by_value(number):
    assert made(op("test", "/valueQuantity/value", value=Decimal(number)))["status"] == "final"


@pytest.mark.parametrize("value", ["6.10", True, None, 6, Decimal("6.1000000000000001")])
def test_fhir_P1_test_fails_for_other_values(value):
    with pytest.raises(PatchFailed):
        made(op("test", "/valueQuantity/value", value=value))


def test_fhir_P1_digits_of_decimals_survive():
    assert str(made(op("add", "/note/-", value={"text": "x"}))["valueQuantity"]["value"]) == "6.10"
    replaced = made(op("replace", "/valueQuantity/value", value=Decimal("0.100000000000000000000000000010")))
    assert str(replaced["valueQuantity"]["value"]) == "0.100000000000000000000000000010"


@pytest.mark.parametrize(
    "operation",
    [
        op("test", "/status", value="amended"),
        op("test", "/nothing", value="x"),
        op("remove", "/nothing"),
        op("replace", "/nothing", value=1),
        op("add", "/nothing/deep", value=1),
        op("add", "/note/7", value={}),
        op("add", "/note/01", value={}),
        op("add", "/note/x", value={}),
        op("add", "/status/0", value="x"),
        op("remove", "/note/-"),
        op("remove", ""),
        op("add", "note", value={}),
        op("add", "/~2", value={}),
        op("move", "/note/0/text", **{"from": "/note/0"}),
        op("copy", "/note/-", **{"from": "/nothing"}),
        op("copy", "/note/-"),
        op("copy", "/note/-", **{"from": 3}),
        op("add", "/issued"),
        op("add", 3, value=1),
        op("merge", "/note", value={}),
        op(None, "/note", value={}),
        {"op": "remove"},
        {"path": "/note"},
        op("replace", "", value=[1]),
    ],
)
def test_fhir_P1_what_cannot_be_done_is_a_failed_patch(operation):
    with pytest.raises(PatchFailed) as refusal:
        made(op("test", "/status", value="final"), operation)
    assert refusal.value.operation in {1, None}
    assert "6.1" not in str(refusal.value)


@pytest.mark.parametrize("document", [{}, "x", 1, None, ["x"], [[]], [{"op": "remove", "path": "/note"}, 1]])
def test_fhir_P1_a_document_that_is_no_list_of_operations_is_malformed(document):
    with pytest.raises(MalformedBody):
        json_patch(document)


@pytest.mark.parametrize(
    ("operation", "element"),
    [
        (op("replace", "/id", value="other"), "Observation.id"),
        (op("remove", "/id"), "Observation.id"),
        (op("replace", "/resourceType", value="Patient"), "Observation.resourceType"),
        (op("replace", "/meta/versionId", value="9"), "Observation.meta.versionId"),
        (op("remove", "/meta/lastUpdated"), "Observation.meta.lastUpdated"),
        (op("remove", "/meta/tag"), "Observation.meta.tag"),
        (op("replace", "/meta/tag", value=[{"code": "other"}]), "Observation.meta.tag"),
    ],
)
def test_fhir_P1_U5_what_a_patch_may_not_change(operation, element):
    with pytest.raises(ElementFixed) as refusal:
        made(operation)
    assert refusal.value.expression == element


def test_the_result_is_validated_like_any_resource():
    with pytest.raises(RequestError) as refusal:
        made(op("replace", "/status", value="purple"))
    assert refusal.value.issues[0].expression == "Observation.status"
    with pytest.raises(RequestError):
        made(op("remove", "/code"))


def test_copies_of_copies_end_somewhere():
    doubling = [op("copy", "/x", **{"from": ""})]
    with pytest.raises(RequestError):
        made(*doubling * 900)
    wide = [op("add", "/note/0/text", value="x" * 100_000)]
    wide += [op("copy", "/note/-", **{"from": "/note/0"})] * 900
    with pytest.raises((BodyTooLarge, BodyTooComplex)):
        made(*wide)
    with pytest.raises(BodyTooComplex):
        made(*[op("test", "/status", value="final")] * 1_001)


def test_a_patch_can_be_applied_again():
    patch = json_patch([op("add", "/note/-", value={"text": "x"}), op("add", "/note/2/time", value="2024")])
    assert [len(patched(patch, STORED, BOUNDS)["note"]) for _ in range(2)] == [3, 3]


@pytest.mark.parametrize(
    "resource",
    [
        {"resourceType": "Binary", "contentType": "text/plain", "data": "W10="},
        {"resourceType": "Binary", "contentType": "application/json-patch+json"},
        {"resourceType": "Binary", "contentType": "application/json-patch+json", "data": "e30="},
        {"resourceType": "Binary"},
        {"resourceType": "Patient"},
        [],
        None,
    ],
)
def test_fhir_B13_an_entry_without_a_patch_is_refused(resource):
    with pytest.raises(RequestError):
        entry_patch(resource, DEFAULT_LIMITS)


def test_fhir_B13_a_binary_holds_a_json_patch():
    patch = {"resourceType": "Binary", "contentType": "application/json-patch+json", "data": "W10="}
    assert patched(entry_patch(patch, DEFAULT_LIMITS), STORED, BOUNDS)["status"] == "final"

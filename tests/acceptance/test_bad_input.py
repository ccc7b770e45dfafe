"""Bad input is a 4xx that names the element and the remedy; nothing is stored, and the attempt is on record.

The list of design 'Bad input' over HTTP (fhir_rest C2, C3, H1 to H5, H11, H13; security IN-1, IN-2, IN-4, AD-2). Forms
of JSON in full: `tests/spec/test_bad_input_parse.py`; faults of resources in full: `tests/validation`; searches,
headers and bodies that arrive in parts: `tests/http/test_bad_input.py`.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.acceptance.agreement import disagreements
from tests.acceptance.inside import Inside
from tests.site import issues, observation, patient

URN = "urn:uuid:61ebe359-bfdc-4613-8bf2-c5e300945f0a"


@dataclass(frozen=True)
class Refusal:
    """What one request is refused with: status, issue type, the element at fault and a word of the remedy.

    `places` is empty where the body is no JSON at all: then the remedy says where.
    """

    status: int
    code: str
    places: tuple[str, ...]
    remedy: str


def refused(status: int, code: str, places: str, remedy: str) -> Refusal:
    return Refusal(status, code, tuple(places.split()), remedy)


def text(resource: object) -> bytes:
    return json.dumps(resource).encode()


def with_raw(raw: bytes) -> bytes:
    """Return a Patient whose family name is the given JSON text."""
    return b'{"resourceType":"Patient","name":[{"family":' + raw + b"}]}"


def without(name: str, resource: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in resource.items() if key != name}


def about(reference: str) -> dict[str, Any]:
    return observation(reference)


NO_OBJECT = refused(400, "structure", "", "send an object with a resourceType")
NO_JSON = refused(400, "structure", "", "line 1, column")
NOT_UTF_8 = refused(400, "structure", "", "send it in UTF-8")
TOO_DEEP = refused(413, "too-costly", "", "send it in parts")
FAMILY = "Patient.name[0].family"

PATIENTS: dict[str, tuple[bytes, Refusal]] = {
    # invalid JSON
    "nothing": (b"", refused(400, "structure", "", "send a resource")),
    "no JSON": (b"hello", NO_JSON),
    "XML": (b'<Patient xmlns="http://hl7.org/fhir"/>', NO_JSON),
    "half a resource": (b'{"resourceType":"Patient","name":[', refused(400, "structure", "", "ends early")),
    "two documents": (text(patient()) * 2, NO_JSON),
    "a comma too many": (b'{"resourceType":"Patient","active":true,}', NO_JSON),
    "an array": (b"[]", NO_OBJECT),
    "a number": (b"1", NO_OBJECT),
    "null": (b"null", NO_OBJECT),
    "invalid UTF-8": (with_raw(b'"\xff\xfe"'), NOT_UTF_8),
    "UTF-16": (json.dumps(patient()).encode("utf-16"), NOT_UTF_8),
    # unknown types and elements
    "no type": (b'{"name":[]}', NO_OBJECT),
    "type that is no text": (b'{"resourceType":1}', NO_OBJECT),
    "another type": (text(observation()), refused(400, "invalid", "Observation", "Patient")),
    "unknown type": (b'{"resourceType":"Person2"}', refused(400, "invalid", "$", "Patient")),
    "unknown element": (text(patient(shoeSize=42)), refused(400, "structure", "Patient.shoeSize", "remove it")),
    "unknown element within": (
        text(patient(contact=[{"gender": "male", "shoeSize": 42}])),
        refused(400, "structure", "Patient.contact[0].shoeSize", "remove it"),
    ),
    "unknown contained type": (
        text(patient(contained=[{"resourceType": "Organisation", "id": "o"}])),
        refused(400, "structure", "Patient.contained[0]", "resource type of FHIR R4"),
    ),
    "unknown element of what is contained": (
        text(patient(contained=[{"resourceType": "Organization", "id": "o", "nme": "x"}])),
        refused(400, "structure", "Patient.contained[0].nme", "remove it"),
    ),
    "element of another version": (
        text(patient(animal={"species": {"text": "cat"}})),
        refused(400, "structure", "Patient.animal", "remove it"),
    ),
    # cardinalities and types
    "one for a list": (
        b'{"resourceType":"Patient","name":{"family":"x"}}',
        refused(400, "structure", "Patient.name", "array"),
    ),
    "a list for one": (
        b'{"resourceType":"Patient","gender":["male"]}',
        refused(400, "structure", "Patient.gender", "single value"),
    ),
    "text for a boolean": (text(patient(active="true")), refused(400, "structure", "Patient.active", "true or false")),
    "number for a text": (text(patient(birthDate=1974)), refused(400, "structure", "Patient.birthDate", "string")),
    "fraction for an integer": (
        text(patient(multipleBirthInteger=1.5)),
        refused(400, "value", "Patient.multipleBirth", "whole number"),
    ),
    "integer of 33 bits": (
        text(patient(multipleBirthInteger=2**31)),
        refused(400, "value", "Patient.multipleBirth", "32 bits"),
    ),
    "null for an element": (text(patient(gender=None)), refused(400, "structure", "Patient.gender", "leave")),
    "empty object": (b'{"resourceType":"Patient","name":[{}]}', refused(400, "structure", "Patient.name[0]", "leave")),
    "empty list": (b'{"resourceType":"Patient","name":[]}', refused(400, "structure", "Patient.name", "leave")),
    "empty text": (with_raw(b'""'), refused(400, "structure", FAMILY, "leave")),
    "mandatory element missing": (
        text(patient(communication=[{"preferred": True}])),
        refused(400, "required", "Patient.communication[0].language", "add it"),
    ),
    "two types of one element": (
        text(patient(deceasedBoolean=False, deceasedDateTime="2020")),
        refused(400, "structure", "Patient.deceased", "keep one"),
    ),
    # duplicate keys
    "repeated key": (
        b'{"resourceType":"Patient","gender":"male","gender":"female"}',
        refused(400, "structure", "Patient.gender", "once"),
    ),
    "repeated key within": (
        b'{"resourceType":"Patient","name":[{"family":"x","\\u0066amily":"x"}]}',
        refused(400, "structure", FAMILY, "once"),
    ),
    # ids and dates
    "bad id": (text(patient(id="a_b")), refused(400, "value", "Patient.id", "1 to 64 of the characters")),
    "long id": (text(patient(id="a" * 65)), refused(400, "value", "Patient.id", "1 to 64 of the characters")),
    "month 13": (text(patient(birthDate="1974-13-01")), refused(400, "value", "Patient.birthDate", "YYYY-MM-DD")),
    "day of another calendar": (
        text(patient(birthDate="1974-02-30")),
        refused(400, "value", "Patient.birthDate", "in the calendar"),
    ),
    "time without zone": (
        text(patient(deceasedDateTime="2020-01-01T10:00:00")),
        refused(400, "value", "Patient.deceased", "zone"),
    ),
    "hour 25": (
        text(patient(deceasedDateTime="2020-01-01T25:00:00Z")),
        refused(400, "value", "Patient.deceased", "2020-02-29T13:05:00+01:00"),
    ),
    # bindings and rules
    "code outside a required binding": (
        text(patient(gender="purple")),
        refused(422, "code-invalid", "Patient.gender", "female, male, other, unknown"),
    ),
    "code outside a required binding within": (
        text(patient(name=[{"family": "x", "use": "stage"}])),
        refused(422, "code-invalid", "Patient.name[0].use", "http://hl7.org/fhir/ValueSet/name-use"),
    ),
    "script in the narrative": (
        text(
            patient(
                text={
                    "status": "generated",
                    "div": '<div xmlns="http://www.w3.org/1999/xhtml"><script>x</script></div>',
                }
            )
        ),
        refused(422, "invariant", "Patient.text.div", "basic formatting"),
    ),
    "contact without anything": (
        text(patient(contact=[{"gender": "male"}])),
        refused(422, "invariant", "Patient.contact[0]", "pat-1"),
    ),
    # references
    "reference of another type": (
        text(patient(managingOrganization={"reference": "Patient/1"})),
        refused(400, "value", "Patient.managingOrganization.reference", "Organization"),
    ),
    "reference that is none": (
        text(patient(managingOrganization={"reference": "see below"})),
        refused(400, "value", "Patient.managingOrganization.reference", "reference"),
    ),
    "reference to nothing contained": (
        text(patient(managingOrganization={"reference": "#o"})),
        refused(422, "invariant", "Patient.managingOrganization", "ref-1"),
    ),
    # what no text or number may be
    "NUL escaped": (with_raw(b'"a\\u0000b"'), refused(400, "structure", FAMILY, "leave it out")),
    "NUL raw": (with_raw(b'"a\x00b"'), refused(400, "structure", FAMILY, "left out")),
    "NUL in a key": (
        b'{"resourceType":"Patient","na\\u0000me":1}',
        refused(400, "structure", "Patient", "leave it out"),
    ),
    "lone surrogate escaped": (with_raw(b'"a\\ud800b"'), refused(400, "structure", FAMILY, "both halves")),
    "lone low surrogate escaped": (with_raw(b'"a\\udfffb"'), refused(400, "structure", FAMILY, "both halves")),
    "lone surrogate raw": (with_raw(b'"a\xed\xa0\x80b"'), NOT_UTF_8),
    "NaN": (with_raw(b"NaN"), refused(400, "structure", FAMILY, "leave the element out")),
    "infinity": (
        b'{"resourceType":"Patient","multipleBirthInteger":-Infinity}',
        refused(400, "structure", "Patient.multipleBirthInteger", "leave the element out"),
    ),
    "exponent without end": (
        b'{"resourceType":"Patient","multipleBirthInteger":1e999999999}',
        refused(400, "value", "", "round it"),
    ),
    "number without end": (
        b'{"resourceType":"Patient","multipleBirthInteger":' + b"9" * 10_000 + b"}",
        refused(400, "value", "", "round it"),
    ),
    # depth
    "10,000 lists": (b'{"resourceType":"Patient","extension":' + b"[" * 10_000 + b"]" * 10_000 + b"}", TOO_DEEP),
    "10,000 objects": (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, TOO_DEEP),
    "10,000 extensions": (
        b'{"resourceType":"Patient","extension":[' + b'{"url":"u","extension":[' * 10_000 + b"]}" * 10_000 + b"]}",
        TOO_DEEP,
    ),
    "10,000 lists never closed": (b"[" * 10_000, TOO_DEEP),
    "65 levels": (
        b'{"resourceType":"Patient","extension":' + b'[{"extension":' * 40 + b"1" + b"}]" * 40 + b"}",
        TOO_DEEP,
    ),
}


def entry(method: str, url: str, resource: object = None, **more: object) -> dict[str, object]:
    made: dict[str, object] = {"request": {"method": method, "url": url}, **more}
    return made if resource is None else {**made, "resource": resource}


def bundle(*entries: object, kind: str = "transaction") -> bytes:
    return text({"resourceType": "Bundle", "type": kind, "entry": list(entries)})


GOOD = entry("POST", "Patient", patient("Half"))
SECOND = "Bundle.entry[1]"
TRANSACTIONS: dict[str, tuple[bytes, Refusal]] = {
    "dangling urn:uuid": (
        bundle(GOOD, entry("POST", "Observation", about(URN))),
        refused(400, "not-found", f"{SECOND}.resource.subject.reference", "add the entry"),
    ),
    "dangling urn:uuid deep within": (
        bundle(
            GOOD,
            entry("POST", "Patient", patient(extension=[{"url": "http://a.b", "valueReference": {"reference": URN}}])),
        ),
        refused(400, "not-found", f"{SECOND}.resource.extension[0].value.reference", "add the entry"),
    ),
    "fault in an entry": (
        bundle(GOOD, entry("POST", "Patient", patient(gender="purple"))),
        refused(422, "code-invalid", f"{SECOND}.resource.gender", "female, male"),
    ),
    "faults in two entries": (
        bundle(entry("POST", "Patient", patient(active=1)), entry("POST", "Patient", patient(birthDate="1"))),
        refused(400, "structure", "Bundle.entry[0].resource.active", "true or false"),
    ),
    "unknown type": (bundle(GOOD, entry("POST", "Person2", {})), refused(404, "not-supported", SECOND, "type")),
    "bad id": (
        bundle(GOOD, entry("PUT", "Patient/a_b", patient(id="a_b"))),
        refused(400, "value", SECOND, "1 to 64 of the characters"),
    ),
    "entry without request": (
        bundle(GOOD, {"resource": patient()}),
        refused(400, "invalid", f"{SECOND}.request", "request"),
    ),
    "entry that is none": (bundle(GOOD, 1), refused(400, "invalid", f"{SECOND}.request", "request")),
    "entries that are no list": (
        text({"resourceType": "Bundle", "type": "transaction", "entry": GOOD}),
        refused(400, "invalid", "Bundle.entry", "list"),
    ),
    "no type of bundle": (
        text({"resourceType": "Bundle", "entry": [GOOD]}),
        refused(400, "invalid", "Bundle.type", "transaction"),
    ),
    "method nobody knows": (
        bundle(GOOD, entry("LINK", "Patient/1")),
        refused(400, "invalid", f"{SECOND}.request.method", "DELETE"),
    ),
    "bundle within": (
        bundle(GOOD, entry("POST", "", json.loads(bundle(GOOD)))),
        refused(400, "invalid", f"{SECOND}.request.url", ""),
    ),
    "conditional reference without match": (
        bundle(
            GOOD,
            entry("POST", "Patient", patient(managingOrganization={"reference": "Organization?identifier=nobody|0"})),
        ),
        refused(412, "multiple-matches", f"{SECOND}.resource.managingOrganization.reference", "exactly one"),
    ),
    "NaN in an entry": (
        bundle(GOOD, entry("POST", "Patient", patient(active="?"))).replace(b'"?"', b"NaN"),
        refused(400, "structure", f"{SECOND}.resource.active", "leave the element out"),
    ),
    "10,000 levels": (b'{"resourceType":"Bundle","entry":' + b"[" * 10_000 + b"]" * 10_000 + b"}", TOO_DEEP),
}


# --- what is looked at ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def inside(site):
    """The database behind the site."""
    made = Inside(site.settings.database_url)
    made.settle()
    yield made
    made.close()


numbers = itertools.count(1)


def leaves_only_a_record(inside: Inside, ask: Any, outcome: str = "allowed") -> httpx.Response:
    """Send a request that has to be refused, and look at what is left of it."""
    request_id = f"bad-{next(numbers)}"
    before = inside.counts()
    answer: httpx.Response = ask({"X-Request-Id": request_id})
    assert 400 <= answer.status_code < 500, answer.text
    assert inside.counts() == before
    assert inside.records(request_id) == [(answer.status_code, outcome, "tester")]
    assert "application/fhir+json" in answer.headers["content-type"]
    return answer


def check(answer: httpx.Response, expected: Refusal) -> None:
    first = issues(answer)[0]
    assert (answer.status_code, first["code"], first["severity"]) == (expected.status, expected.code, "error")
    assert tuple(first.get("expression", ())) == expected.places
    assert expected.remedy in first["diagnostics"]


# --- the list ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PATIENTS)
def test_a_patient_is_refused_that_has(fhir, inside, name):
    body, expected = PATIENTS[name]
    answer = leaves_only_a_record(inside, lambda headers: fhir.post("/Patient", content=body, headers=headers))
    check(answer, expected)


@pytest.mark.parametrize("name", ["unknown element", "code outside a required binding", "NUL escaped", "10,000 lists"])
def test_an_update_is_refused_alike_that_has(fhir, inside, name):
    key = fhir.post("/Patient", json=patient()).json()["id"]
    body, expected = PATIENTS[name]
    body = body.replace(b'{"resourceType"', b'{"id":"' + key.encode() + b'","resourceType"', 1)
    answer = leaves_only_a_record(inside, lambda headers: fhir.put(f"/Patient/{key}", content=body, headers=headers))
    check(answer, expected)
    assert fhir.get(f"/Patient/{key}").headers["etag"] == 'W/"1"'


@pytest.mark.parametrize("name", TRANSACTIONS)
def test_a_transaction_is_refused_whole_that_has(fhir, inside, name):
    body, expected = TRANSACTIONS[name]
    answer = leaves_only_a_record(inside, lambda headers: fhir.post("/", content=body, headers=headers))
    check(answer, expected)


REQUESTS: dict[str, tuple[str, str, dict[str, str], Refusal]] = {
    "XML": ("POST", "/Patient", {"Content-Type": "application/fhir+xml"}, refused(415, "not-supported", "", "json")),
    "a form": (
        "POST",
        "/Patient",
        {"Content-Type": "application/x-www-form-urlencoded"},
        refused(415, "not-supported", "", "json"),
    ),
    "no content type": ("POST", "/Patient", {"Content-Type": ""}, refused(415, "not-supported", "", "json")),
    "Latin-1": (
        "POST",
        "/Patient",
        {"Content-Type": "application/fhir+json; charset=latin-1"},
        refused(415, "not-supported", "", "UTF-8"),
    ),
    "a body that is compressed otherwise": (
        "POST",
        "/Patient",
        {"Content-Encoding": "br"},
        refused(415, "not-supported", "", "ncod"),
    ),
    "a body that only says it is compressed": (
        "POST",
        "/Patient",
        {"Content-Encoding": "gzip"},
        refused(400, "structure", "", "gzip"),
    ),
    "a patch of another kind": (
        "PATCH",
        "/Patient/a",
        {"Content-Type": "application/merge-patch+json"},
        refused(415, "not-supported", "", "application/json-patch+json"),
    ),
    "a patch that is none": (
        "PATCH",
        "/Patient/a",
        {"Content-Type": "application/json-patch+json"},
        refused(400, "structure", "", "array"),
    ),
    "an update without address or condition": ("PUT", "/Patient", {}, refused(400, "invalid", "", "criterion")),
    "a deletion of everything": ("DELETE", "/Patient", {}, refused(400, "invalid", "", "criterion")),
    "an answer in XML": (
        "GET",
        "/Patient",
        {"Accept": "application/fhir+xml"},
        refused(406, "not-supported", "", "json"),
    ),
    "a created resource in XML": (
        "POST",
        "/Patient",
        {"Accept": "application/fhir+xml"},
        refused(406, "not-supported", "", "json"),
    ),
    "XML by parameter": ("GET", "/Patient?_format=xml", {}, refused(406, "not-supported", "", "json")),
    "FHIR R5": (
        "GET",
        "/Patient",
        {"Accept": "application/fhir+json; fhirVersion=5.0"},
        refused(406, "not-supported", "", "4.0"),
    ),
    "an unknown type": ("POST", "/Person2", {}, refused(404, "not-supported", "", "metadata")),
    "a type in lower case": ("POST", "/patient", {}, refused(404, "not-supported", "", "metadata")),
    "an id that can be none": ("PUT", "/Patient/a_b", {}, refused(400, "value", "", "1 to 64 of the characters")),
    "an id of 65 characters": ("PUT", f"/Patient/{'a' * 65}", {}, refused(400, "value", "", "1 to 64")),
    "a method without meaning": ("DELETE", "/Patient/_search", {}, refused(405, "not-supported", "", "Allow")),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_is_refused_that_is(fhir, inside, name):
    method, path, headers, expected = REQUESTS[name]
    answer = leaves_only_a_record(
        inside,
        lambda more: fhir.request(method, path, content=text(patient(id="a")), headers={**headers, **more}),
    )
    check(answer, expected)


def test_an_oversized_body_is_413(site, fhir, inside):
    """`tests/http/test_bad_input.py` shows that it is answered before the rest is read, whatever its length says."""
    body = text(patient(id="big")) + b" " * site.settings.max_body_bytes
    for method, path in (("POST", "/Patient"), ("PUT", "/Patient/big")):
        answer = leaves_only_a_record(
            inside, lambda headers, m=method, p=path: fhir.request(m, p, content=body, headers=headers)
        )
        check(answer, refused(413, "too-long", "", "send it in parts"))


def test_rows_store_and_index_agree_afterwards(site):
    assert disagreements(site.settings.database_url) == []

"""Whatever a client sends is kept as it is or refused: never changed, never half, never a 5xx (design 'Bad input').

Samples are changed at random places; random requests go to random addresses.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from capability.elements import RESOURCE_TYPES
from fhir_server.fhir.json_body import encode_json
from tests.acceptance.agreement import disagreements
from tests.acceptance.equality import content, differences, exact
from tests.acceptance.inside import Inside
from tests.site import issues, observation, patient

SAMPLES = [
    json.loads(path.read_bytes(), parse_float=Decimal)
    for path in sorted((Path(__file__).parent / "samples").glob("*.json"))
]
PRACTITIONER = {"resourceType": "Practitioner", "identifier": [{"system": "http://a.b", "value": "mutant"}]}
ODD: list[Any] = [
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 10**30, "", " ", "x", "true", "#", "#m", "é" * 300, [], {}, [[]]),
    *(Decimal("1.50"), Decimal("-0.0"), Decimal("1E+300"), Decimal("1E-300")),
    *("2020", "2020-02-30", "0000", "9999-12-31", "2020-01-01T00:00:00Z", "2020-01-01T24:00:00Z"),
    *("Patient/1", "Patient/1/_history/2", "urn:uuid:x", "http://example.org/fhir/Patient/1?x=1#y", "Nothing/1", "?"),
    *("male", "final", "[", "%", "\\", "'", '"', "<b>", "\t\n", "\u200b", "😀", "\x7f", "a|b", "a,b", "$"),
    *({"reference": "Patient/sample-patient"}, {"coding": [{"code": "x"}]}, {"extension": []}, [None], ["x"]),
    *({"value": Decimal("7.20"), "comparator": "<"}, {"url": "http://x.y", "valueString": "z"}, {"start": "2020"}),
]
Path_ = tuple[str | int, ...]


def places(value: Any, path: Path_ = ()) -> Iterator[Path_]:
    """Yield where the values of a JSON value are."""
    for key, member in value.items() if isinstance(value, dict) else enumerate(value):
        yield (*path, key)
        if isinstance(member, dict | list):
            yield from places(member, (*path, key))


@st.composite
def changed(draw: st.DrawFn, samples: list[dict[str, Any]], kept: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return a sample with one to three changes below its root, elements named in `kept` aside."""
    resource: dict[str, Any] = copy.deepcopy(draw(st.sampled_from(samples)))
    for _ in range(draw(st.integers(1, 3))):
        *parents, last = draw(st.sampled_from(list(places(resource))))
        if not parents and last in ("resourceType", *kept):
            continue
        container: Any = resource
        for step in parents:
            container = container[step]
        match draw(st.sampled_from(["replace", "replace", "remove", "wrap", "again", "add", "rename"])):
            case "replace":
                container[last] = copy.deepcopy(draw(st.sampled_from(ODD)))
            case "remove":
                del container[last]
            case "wrap":
                container[last] = [container[last]]
            case "again" if isinstance(container, list):
                container.append(copy.deepcopy(container[last]))
            case "add" if isinstance(container, dict):
                name = draw(st.sampled_from(["extension", "id", "text", "value", "_status", "code", "note", "x"]))
                container[name] = copy.deepcopy(draw(st.sampled_from(ODD)))
            case "rename" if isinstance(container, dict):
                container[draw(st.sampled_from([f"{last}x", f"_{last}", "valueString"]))] = container.pop(last)
    return resource


@pytest.fixture(scope="module")
def inside(site):
    """The database behind the site."""
    made = Inside(site.settings.database_url)
    made.settle()
    yield made
    made.close()


@settings(max_examples=150, deadline=None)
@given(resource=changed(SAMPLES))
def test_a_changed_sample_is_kept_as_it_is_or_refused(fhir, resource):
    sent = encode_json(resource)
    answer = fhir.post(f"/{resource['resourceType']}", content=sent)
    if answer.status_code == 201:
        read = fhir.get(answer.headers["location"].partition("/_history")[0])
        assert not list(differences(content(exact(sent)), content(exact(read.content))))
    else:
        assert answer.status_code in {400, 422}, answer.text
        assert all(issue["diagnostics"] for issue in issues(answer))


WHOSE = "urn:uuid:61ebe359-bfdc-4613-8bf2-c5e300945f0a"
TRANSACTION = {
    "resourceType": "Bundle",
    "type": "transaction",
    "entry": [
        {"fullUrl": WHOSE, "request": {"method": "POST", "url": "Patient"}, "resource": patient("Mutant")},
        {
            "fullUrl": "urn:uuid:61ebe359-bfdc-4613-8bf2-c5e300945f0b",
            "request": {"method": "POST", "url": "Observation", "ifNoneExist": "identifier=http://a.b|mutant"},
            "resource": observation(WHOSE, valueQuantity={"value": Decimal("7.20")}),
        },
        {"request": {"method": "PUT", "url": "Practitioner/mutant"}, "resource": {**PRACTITIONER, "id": "mutant"}},
        {
            "request": {"method": "POST", "url": "Encounter"},
            "resource": {
                "resourceType": "Encounter",
                "status": "planned",
                "class": {"code": "AMB"},
                "subject": {"reference": WHOSE},
                "participant": [{"individual": {"reference": "Practitioner?identifier=http://a.b|mutant"}}],
            },
        },
        {"request": {"method": "DELETE", "url": "Observation/never"}},
        {"request": {"method": "GET", "url": "Patient?name=mutant&_count=1"}},
    ],
}
TRANSACTION["entry"].append({"request": {"method": "GET", "url": "Practitioner/mutant", "ifNoneMatch": 'W/"1"'}})


@settings(max_examples=150, deadline=None)
@given(bundle=changed([TRANSACTION], kept=("type",)))
def test_a_changed_transaction_is_carried_out_whole_or_not_at_all(fhir, inside, bundle):
    before = inside.counts()
    answer = fhir.post("/", content=encode_json(bundle))
    if answer.status_code == 200:
        statuses = [entry["response"]["status"] for entry in answer.json().get("entry", ())]
        assert len(statuses) == len(bundle.get("entry", ()))
        assert set(statuses) <= {"200", "201", "204", "304"}
    else:
        assert answer.status_code in {400, 404, 405, 410, 412, 413, 422}, answer.text
        assert all(issue["diagnostics"] for issue in issues(answer))
        assert inside.counts() == before


words = st.one_of(
    st.sampled_from(
        ["Patient", "Observation", "metadata", "_history", "_search", "$everything", "1", "a_b", "...", ""]
    ),
    st.sampled_from(RESOURCE_TYPES),
    st.text(st.characters(codec="utf-8"), max_size=5),
)
names = st.sampled_from(
    [
        *("_id", "_lastUpdated", "_sort", "_count", "_include", "_revinclude", "_summary", "_total", "_elements"),
        *("_cursor", "_format", "_pretty", "_has:Observation:patient:code", "identifier", "name", "birthdate", "date"),
        *("code", "value-quantity", "code-value-quantity", "subject", "patient", "subject:Patient.name", "_tag", "x"),
        *("subject:identifier", "name:exact", "name:contains", "code:not", "code:missing", "probability", "url", ""),
    ]
)
queries = st.lists(
    st.tuples(
        names,
        st.one_of(
            st.sampled_from(["1", "a|b", "|", "$", ",", "ge2020", "ap5|http://unitsofmeasure.org|kg", "-date", "*:*"]),
            st.sampled_from(["Observation:patient", "Patient/1", "true", "1e400", "9" * 400, "ap0001", "\\", "0"]),
            st.text(st.characters(codec="utf-8"), max_size=8),
        ),
    ),
    max_size=3,
)


@settings(max_examples=250, deadline=None)
@given(
    method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"]),
    path=st.lists(words, max_size=4),
    query=queries,
)
@example(method="GET", path=["Observation"], query=[("date", "ap0001-01-01")])
@example(method="GET", path=["Observation"], query=[("date", "lt9999-12-31T23:59:60Z")])
@example(method="GET", path=["Observation"], query=[("value-quantity", "ap1e308")])
def test_no_address_is_answered_5xx(site, fhir, method, path, query):
    asked = "&".join(f"{quote(name, safe=':.-_')}={quote(value, safe='')}" for name, value in query)
    address = "/".join(quote(word, safe="$") for word in path if word not in {".", ".."})
    answer = fhir.request(method, f"{site.base}/{address}?{asked}", content=b"{}")
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400 and method != "HEAD":
        assert issues(answer)


def test_rows_store_and_index_agree_afterwards(site):
    assert disagreements(site.settings.database_url) == []

"""Transaction bundles that someone else wrote: nothing is lost, and both engines find the same (fhir_rest §10, H12).

The bundles are posted byte for byte to a server on SQLite and to one on PostgreSQL. Ids differ between the two, as
POST makes them; so what a search finds is told by the place in the bundles from which it came.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.acceptance.agreement import disagreements
from tests.acceptance.equality import content, differences, exact
from tests.conftest import ENGINES, SHARED, new_database_url
from tests.site import Site, running_site

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (SHARED / "data" / "synthea").is_dir(), reason="the Synthea bundles are not at hand"),
]
BUNDLES = (
    "e4531916-b162-4f4b-90c2-ce37e132b8d4",  # the smallest
    "fcece34f-2e51-43b5-acb0-361c3472e679",
    "fa8cdd1f-d2d8-476c-9247-b279dddd595d",  # a baby
    "99135849-9d98-4ff4-9d2f-2c4bb5ea8e9d",  # José María
    "09013bed-6d2e-4f0a-9a2c-0c0a69b9e839",  # many observations
    "082e1e50-6561-42a4-9b5f-0e5094142756",  # plans, prescriptions, a report
)

Place = tuple[int, int]
"""A resource by where it came from: the number of its bundle, and of its entry there."""


@dataclass
class Loaded:
    """A server that took the bundles."""

    site: Site
    fhir: httpx.Client
    answers: list[httpx.Response] = field(default_factory=list)
    places: dict[str, Place] = field(default_factory=dict)
    """`Type/id` → where it came from."""

    def key(self, place: Place) -> str:
        """Return `Type/id` of a resource."""
        return next(key for key, each in self.places.items() if each == place)

    def post(self, body: bytes) -> httpx.Response:
        """Post a bundle and note which resource became what."""
        answer = self.fhir.post("/", content=body)
        assert answer.status_code == 200, answer.text[:1000]
        for position, entry in enumerate(answer.json()["entry"]):
            self.places[key_of(entry)] = (len(self.answers), position)
        self.answers.append(answer)
        return answer


def key_of(entry: dict[str, Any]) -> str:
    return entry["response"]["location"].partition("/_history")[0]


@pytest.fixture(scope="module")
def bundles() -> list[bytes]:
    """The bundles, byte for byte."""
    folder = SHARED / "data" / "synthea"
    return [gzip.decompress((folder / f"{name}.json.gz").read_bytes()) for name in BUNDLES]


@pytest.fixture(scope="module")
def servers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, bundles: list[bytes]
) -> Iterator[dict[str, Loaded]]:
    """A server on each engine that took all bundles."""
    with ExitStack() as stack:
        made: dict[str, Loaded] = {}
        for engine in ENGINES:
            folder: Path = tmp_path_factory.mktemp(engine)
            site = stack.enter_context(running_site(new_database_url(engine, request, folder)))
            made[engine] = Loaded(site, site.client())
            for body in bundles:
                made[engine].post(body)
        yield made


@pytest.fixture(params=ENGINES)
def server(request: pytest.FixtureRequest, servers: dict[str, Loaded]) -> Loaded:
    """One server after the other."""
    return servers[request.param]


def test_fhir_B1_each_entry_is_answered_in_order_with_201_and_its_place(server, bundles):
    for body, answer in zip(bundles, server.answers, strict=True):
        sent, got = json.loads(body)["entry"], answer.json()
        assert got["type"] == "transaction-response"
        assert len(got["entry"]) == len(sent)
        for entry, each in zip(sent, got["entry"], strict=True):
            assert each["response"]["status"] == "201"
            resource_type, _, rest = each["response"]["location"].partition("/")
            assert resource_type == entry["resource"]["resourceType"]
            assert rest.endswith("/_history/1")
    assert len(server.places) == sum(len(json.loads(body)["entry"]) for body in bundles)


def rewritten(value: Any, targets: dict[str, str]) -> Any:
    """Return a JSON value in which references name resources instead of entries."""
    if isinstance(value, dict):
        return {
            name: targets.get(each, each) if name == "reference" else rewritten(each, targets)
            for name, each in value.items()
        }
    return [rewritten(each, targets) for each in value] if type(value) is list else value


def test_fhir_B5_H12_every_resource_is_read_back_but_for_its_references(server, bundles):
    faults = {}
    for body, answer in zip(bundles, server.answers, strict=True):
        entries, keys = exact(body)["entry"], [key_of(each) for each in answer.json()["entry"]]
        targets = {entry["fullUrl"]: key for entry, key in zip(entries, keys, strict=True)}
        for entry, key in zip(entries, keys, strict=True):
            read = server.fhir.get(f"/{key}")
            expected = rewritten(content(entry["resource"]), targets)
            found = list(differences(expected, content(exact(read.content))))
            if found:
                faults[key] = found
    assert faults == {}


@dataclass
class Found:
    """What a search finds over all its pages."""

    total: int
    matches: list[Place] = field(default_factory=list)
    includes: set[Place] = field(default_factory=set)
    """Each page brings its own, so one may come on several."""


def found_by(server: Loaded, query: str) -> Found:
    """Return what a search finds, its total asked for in both ways."""
    also = f"{query}{'&' if '?' in query else '?'}"
    found = Found(server.fhir.get(f"/{also}_summary=count").json()["total"])
    page = server.fhir.get(f"/{also}_total=accurate")
    while True:
        assert page.status_code == 200, page.text
        body = page.json()
        assert body.get("total", found.total) == found.total
        for each in body.get("entry", ()):
            place = server.places[f"{each['resource']['resourceType']}/{each['resource']['id']}"]
            if each["search"]["mode"] == "match":
                found.matches.append(place)
            else:
                found.includes.add(place)
        links = {each["relation"]: each["url"] for each in body["link"]}
        if "next" not in links:
            assert len(set(found.matches)) == len(found.matches) == found.total
            return found
        page = server.fhir.get(links["next"])


LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"
SEARCHES = {
    "everything of a type": "Observation",
    "token": f"Observation?code={LOINC}|8302-2",
    "token of any system": "Observation?code=8302-2,29463-7",
    "token: category": "Observation?category=vital-signs",
    "token :not": "Encounter?class:not=AMB",
    "string": "Patient?family=casares",
    "string folded": "Patient?given=jose",
    "string :contains": "Patient?name:contains=on",
    "string :exact": "Patient?address-country:exact=US",
    "date in a year": "Observation?date=2015",
    "date from": "Encounter?date=ge2014-03-01",
    "date between": "Procedure?date=gt2010&date=lt2015-06",
    "date not in": "Immunization?date=ne2012",
    "reference": "Observation?subject=Patient/{patient}",
    "patient and category": "Observation?patient={patient}&category=laboratory",
    "chain": "Condition?subject:Patient.family=casares",
    "chain to an organization": "Encounter?service-provider.name:contains=a",
    "_has": f"Patient?_has:Observation:patient:code={LOINC}|8302-2",
    "_has of a plan": "Patient?_has:CarePlan:subject:status=active",
    "_has that nobody has": "Patient?_has:AllergyIntolerance:patient:clinical-status=active",
    "quantity": f"Observation?value-quantity=gt50|{UCUM}|kg",
    "quantity of any unit": "Observation?value-quantity=lt20",
    "composite": f"Observation?code-value-quantity={LOINC}|8302-2$gt120|{UCUM}|cm",
    "composite of components": f"Observation?component-code-value-quantity={LOINC}|8480-6$ge110",
    "not missing": "Patient?deceased:missing=false",
    "missing": "Condition?abatement-date:missing=true",
    "_id": "Patient?_id={patient},nobody",
    "_lastUpdated": "Claim?_lastUpdated=gt2020-01-01",
    "_lastUpdated before": "Claim?_lastUpdated=lt2020-01-01",
    "_include": "MedicationRequest?_include=MedicationRequest:encounter&_include=MedicationRequest:requester",
    "_revinclude": "Encounter?class=EMER,IMP&_revinclude=Condition:encounter&_revinclude=Procedure:encounter",
}
NOTHING = {"_has that nobody has", "_lastUpdated before"}
"""Searches that find nothing; the others find something, or the engines would agree on nothing."""


@pytest.mark.parametrize("name", SEARCHES)
def test_both_engines_find_the_same(servers, name):
    found = {}
    for engine, server in servers.items():
        patient = server.key((5, 0)).partition("/")[2]
        found[engine] = found_by(server, SEARCHES[name].format(patient=patient))
        assert (found[engine].total == 0) is (name in NOTHING)
        found[engine].matches.sort()
    assert found["sqlite"] == found["postgresql"]


def test_there_is_as_much_of_every_type_as_was_sent(server, bundles):
    sent = Counter(entry["resource"]["resourceType"] for body in bundles for entry in json.loads(body)["entry"])
    sent["Organization"] += 1  # the one that the server itself belongs to
    totals = {name: server.fhir.get(f"/{name}?_summary=count").json()["total"] for name in sent}
    assert totals == sent


@pytest.mark.parametrize(
    "query",
    [
        "Patient?_sort=birthdate",
        "Patient?_sort=-birthdate&_count=2",
        "Patient?_sort=family,given",
        f"Observation?patient={{patient}}&code={LOINC}|8302-2&_sort=-date&_count=3",
        "Encounter?patient={patient}&_sort=date&_count=7",
    ],
)
def test_both_engines_put_matches_in_the_same_order_where_it_is_total(servers, query):
    found = []
    for server in servers.values():
        patient = server.key((5, 0)).partition("/")[2]
        found.append(found_by(server, query.format(patient=patient)))
    assert found[0] == found[1]
    assert found[0].total > 4


def test_rows_store_and_index_agree(server):
    assert disagreements(server.site.settings.database_url) == []


def test_fhir_C1_posting_twice_makes_new_resources(server, bundles):
    """Last in this file: it changes what is there. POST stays create; `load` keeps ids (settled §3.7)."""
    before = server.fhir.get("/Observation?_summary=count").json()["total"]
    again = server.fhir.post("/", content=bundles[0]).json()["entry"]
    assert {each["response"]["status"] for each in again} == {"201"}
    first = {key_of(each) for each in server.answers[0].json()["entry"]}
    assert first.isdisjoint(key_of(each) for each in again)
    added = sum(key_of(each).startswith("Observation/") for each in again)
    assert server.fhir.get("/Observation?_summary=count").json()["total"] == before + added

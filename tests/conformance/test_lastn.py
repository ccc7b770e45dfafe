"""Observation/$lastn (FHIR R4 observation-operation-lastn.html; fhir_rest §13)."""

from __future__ import annotations

import pytest

from storage.search.latest import BATCH
from tests.site import issues, observation, patient

LOINC = "http://loinc.org"
VITALS = [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "vital-signs"}]}]


def coded(*codings: tuple[str, str]) -> dict[str, object]:
    return {"coding": [{"system": system, "code": code} for system, code in codings]}


@pytest.fixture(scope="module")
def person(fhir):
    return fhir.post("/Patient", json=patient("Latest")).json()["id"]


def store(fhir, subject: str, made: list[dict[str, object]]) -> dict[str, str]:
    """Store Observations given as name, code, time and more; return the names by id."""
    entries = []
    for each in made:
        resource = observation(f"Patient/{subject}", category=VITALS, **{k: v for k, v in each.items() if k != "name"})
        entries.append({"resource": resource, "request": {"method": "POST", "url": "Observation"}})
    answer = fhir.post("", json={"resourceType": "Bundle", "type": "transaction", "entry": entries})
    assert answer.status_code == 200, answer.text
    places = [entry["response"]["location"].split("/")[1] for entry in answer.json()["entry"]]
    return dict(zip(places, [str(each["name"]) for each in made], strict=True))


@pytest.fixture(scope="module")
def names(fhir, person) -> dict[str, str]:
    weight, rate = coded((LOINC, "29463-7")), coded((LOINC, "8867-4"))
    other = fhir.post("/Patient", json=patient("Other")).json()["id"]
    store(fhir, other, [{"name": "other", "code": weight, "effectiveDateTime": "2030-01-01"}])
    return store(
        fhir,
        person,
        [
            {"name": "weight-1", "code": weight, "effectiveDateTime": "2020-01-01"},
            {"name": "weight-3", "code": weight, "effectiveDateTime": "2022-01-01"},
            {"name": "weight-2", "code": weight, "effectiveDateTime": "2021-01-01", "status": "preliminary"},
            {"name": "rate-a", "code": rate, "effectiveDateTime": "2021-01-01T10:00:00Z"},
            {"name": "rate-b", "code": rate, "effectiveDateTime": "2021-01-01T12:00:00+02:00"},
            {"name": "rate-0", "code": rate, "effectiveDateTime": "2019-01-01"},
            {"name": "rate-never", "code": rate},
        ],
    )


def latest(fhir, names, query: str) -> list[str]:
    answer = fhir.get(f"/Observation/$lastn?{query}")
    assert answer.status_code == 200, answer.text
    bundle = answer.json()
    found = [each["resource"]["id"] for each in bundle.get("entry", []) if each["search"]["mode"] == "match"]
    assert bundle["type"] == "searchset"
    assert bundle["total"] == len(found)
    return [names[each] for each in found]


def test_fhir_lastn_gives_the_newest_of_each_code_ties_included(fhir, person, names):
    found = latest(fhir, names, f"patient={person}&category=vital-signs")
    assert found[0] == "weight-3"
    assert sorted(found[1:]) == ["rate-a", "rate-b"]


def test_fhir_lastn_gives_as_many_as_asked_for(fhir, person, names):
    assert latest(fhir, names, f"patient={person}&code=29463-7&max=2") == ["weight-3", "weight-2"]
    assert latest(fhir, names, f"subject=Patient/{person}&code=29463-7&max=9") == ["weight-3", "weight-2", "weight-1"]
    assert latest(fhir, names, f"patient={person}&code=8867-4&max=9")[2:] == ["rate-0", "rate-never"]


def test_fhir_lastn_other_parameters_filter_before(fhir, person, names):
    assert latest(fhir, names, f"patient={person}&code=29463-7&date=lt2022") == ["weight-2"]
    assert latest(fhir, names, f"patient={person}&code=29463-7&status=final&date=lt2022") == ["weight-1"]
    assert latest(fhir, names, f"patient={person}&code=no-such") == []


def test_fhir_lastn_goes_by_the_time_of_issue_where_effective_times_are_equal(fhir, person):
    code = coded((LOINC, "1-issued"))
    at = {"code": code, "effectiveDateTime": "2021-01-01"}
    names = store(
        fhir,
        person,
        [
            {"name": "first", "issued": "2021-01-02T00:00:00Z", **at},
            {"name": "second", "issued": "2021-01-02T01:00:00+00:30", **at},
            {"name": "same", "issued": "2021-01-02T00:30:00Z", **at},
            {"name": "none", **at},
        ],
    )
    assert sorted(latest(fhir, names, f"patient={person}&code=1-issued")) == ["same", "second"]
    assert latest(fhir, names, f"patient={person}&code=1-issued&max=3")[2:] == ["first"]
    assert latest(fhir, names, f"patient={person}&code=1-issued&max=4")[3:] == ["none"]


def test_fhir_lastn_groups_what_shares_a_coding(fhir, person):
    names = store(
        fhir,
        person,
        [
            {"name": "both", "code": coded((LOINC, "S-1"), ("urn:x", "s")), "effectiveDateTime": "2021-01-01"},
            {"name": "loinc", "code": coded((LOINC, "s-1")), "effectiveDateTime": "2020-01-01"},
            {"name": "local", "code": coded(("urn:x", "s")), "effectiveDateTime": "2019-01-01"},
            {"name": "stranger", "code": coded(("urn:y", "s")), "effectiveDateTime": "2018-06-01"},
            {"name": "text", "code": {"text": "Grip"}, "effectiveDateTime": "2018-01-01"},
            {"name": "same text", "code": {"text": "grip"}, "effectiveDateTime": "2017-01-01"},
        ],
    )
    asked = f"patient={person}&category=vital-signs&_id={','.join(names)}"
    assert latest(fhir, names, asked) == ["both", "stranger", "text"]
    assert latest(fhir, names, f"{asked}&max=2") == ["both", "loinc", "stranger", "text", "same text"]


def test_fhir_lastn_finds_what_lies_behind_many(fhir):
    person = fhir.post("/Patient", json=patient("Long")).json()["id"]
    many = [
        {"name": f"rate-{n}", "code": coded((LOINC, "8867-4")), "effectiveDateTime": f"2021-01-{1 + n % 28:02}"}
        for n in range(BATCH + 40)
    ]
    rare = [{"name": "rare", "code": coded((LOINC, "rare")), "effectiveDateTime": "1990-01-01"}]
    names = store(fhir, person, many + rare)
    newest = [each["name"] for each in many if each["effectiveDateTime"] == "2021-01-28"]
    assert sorted(latest(fhir, names, f"patient={person}&category=vital-signs")) == sorted([*newest, "rare"])
    assert latest(fhir, names, f"patient={person}&category=vital-signs&max=300")[-1] == "rare"
    assert sorted(latest(fhir, names, f"patient={person}&code={LOINC}|8867-4")) == sorted(newest)
    assert len(latest(fhir, names, f"patient={person}&code={LOINC}|8867-4&max=300")) == len(many)


def test_fhir_lastn_takes_parameters_by_post(fhir, person, names):
    body = {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "patient", "valueReference": {"reference": f"Patient/{person}"}},
            {"name": "code", "valueCode": "29463-7"},
            {"name": "max", "valuePositiveInt": 2},
        ],
    }
    answer = fhir.post("/Observation/$lastn", json=body)
    assert [names[each["resource"]["id"]] for each in answer.json()["entry"]] == ["weight-3", "weight-2"]
    entry = {"request": {"method": "POST", "url": "Observation/$lastn"}, "resource": body}
    batch = fhir.post("", json={"resourceType": "Bundle", "type": "batch", "entry": [entry]}).json()
    assert len(batch["entry"][0]["resource"]["entry"]) == 2


@pytest.mark.parametrize(
    "query",
    [
        "code=x",
        "patient=1",
        "patient=1&code:not=x",
        "patient=1&code=x&max=0",
        "patient=1&code=x&max=no",
        "patient=1&code=x&max=1001",
        "patient=1&code=x&date=no",
        "patient=1&code=x&max=1&max=2",
    ],
)
def test_fhir_lastn_refuses_what_it_cannot_answer(fhir, query):
    answer = fhir.get(f"/Observation/$lastn?{query}")
    assert (answer.status_code, issues(answer)[0]["severity"]) == (400, "error")


def test_fhir_lastn_refuses_a_body_that_is_no_parameters(fhir):
    answer = fhir.post("/Observation/$lastn", json=patient())
    assert (answer.status_code, issues(answer)[0]["code"]) == (400, "invalid")


def test_fhir_lastn_tells_what_it_does_not_use(fhir, person, names):
    query = f"patient={person}&code=29463-7&_count=1&_sort=date&shoe=1"
    assert latest(fhir, names, query) == ["weight-3"]
    answer = fhir.get(f"/Observation/$lastn?{query}")
    told = answer.json()["entry"][-1]["resource"]["issue"]
    assert [issue["diagnostics"].split()[2] for issue in told] == ["shoe", "_count", "_sort"]
    assert "_count" not in answer.json()["link"][0]["url"]
    for unused in ("_count=1", "shoe=1"):
        strict = fhir.get(
            f"/Observation/$lastn?patient={person}&code=29463-7&{unused}", headers={"Prefer": "handling=strict"}
        )
        assert strict.status_code == 400


def test_fhir_lastn_shows_the_part_that_is_asked_for(fhir, person, names):
    answer = fhir.get(f"/Observation/$lastn?patient={person}&code=29463-7&_elements=code").json()
    (entry,) = answer["entry"]
    assert "effectiveDateTime" not in entry["resource"]
    assert entry["resource"]["meta"]["tag"][0]["code"] == "SUBSETTED"


def test_fhir_lastn_shows_what_the_caller_may_see(site, fhir, person, names):
    own = site.client("patient/*.rs", role="PATIENT", patient=person, fhir_user=f"Patient/{person}")
    assert latest(own, names, f"patient={person}&code=29463-7") == ["weight-3"]
    stranger = fhir.post("/Patient", json=patient("Stranger")).json()["id"]
    other = site.client("patient/*.rs", role="PATIENT", patient=stranger, fhir_user=f"Patient/{stranger}")
    assert latest(other, names, f"patient={person}&code=29463-7") == []
    assert site.client("system/Patient.rs").get(f"/Observation/$lastn?patient={person}&code=x").status_code == 403
    assert fhir.get("/Observation/$lastn", headers={"Authorization": ""}).status_code in {400, 401}


def test_fhir_lastn_belongs_to_observations(fhir):
    for path, status in (("/Patient/$lastn", 404), ("/$lastn", 405), ("/Observation/1/$lastn", 405)):
        assert (fhir.get(path).status_code, issues(fhir.get(path))[0]["code"]) == (status, "not-supported")

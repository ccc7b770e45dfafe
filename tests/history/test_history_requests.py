"""Histories as clients ask for them (FHIR R4 http.html#history; fhir_rest §6)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import count
from typing import Any

import httpx
import pytest

from tests.conftest import OTHER_ORGANIZATION
from tests.site import Site, issues, observation, patient

_numbers = count(1)


@pytest.fixture
def org(site: Site) -> Iterator[httpx.Client]:
    """A client of the other organization, which nobody else of this module writes to."""
    return site.client(organization=OTHER_ORGANIZATION)


def told(answer: httpx.Response) -> list[tuple[str, str, str]]:
    """Return method, url and status of each entry; each organization has an Organization from the start."""
    assert answer.status_code == 200, answer.text
    bundle = answer.json()
    assert (bundle["resourceType"], bundle["type"]) == ("Bundle", "history")
    return [
        (each["request"]["method"], each["request"]["url"], each["response"]["status"])
        for each in bundle.get("entry", ())
        if each["request"]["url"] != "Organization"
    ]


def put(client: httpx.Client, key: str, family: str = "Doe") -> dict[str, Any]:
    answer = client.put(f"/{key}", json=patient(family, id=key.partition("/")[2]))
    assert answer.status_code in {200, 201}, answer.text
    return answer.json()


@pytest.fixture(scope="module")
def world(fhir: httpx.Client) -> dict[str, Any]:
    """Two patients and an Observation, each with several versions."""
    while fhir.get("/Organization/loop-health").status_code != 200:  # the server shows its rows when it has started
        time.sleep(0.02)
    one = put(fhir, "Patient/one")
    put(fhir, "Patient/two")
    posted = fhir.post("/Observation", json=observation("Patient/one")).json()["id"]
    put(fhir, "Patient/one", "Chalmers")
    fhir.delete("/Patient/two")
    time.sleep(0.05)
    return {"since": one["meta"]["lastUpdated"], "observation": posted}


def expected(world: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [
        ("DELETE", "Patient/two", "204"),
        ("PUT", "Patient/one", "200"),
        ("POST", "Observation", "201"),
        ("PUT", "Patient/two", "201"),
        ("PUT", "Patient/one", "201"),
    ]


def eventually(client: httpx.Client, path: str, wanted: list[Any], **query: str) -> httpx.Response:
    """Ask until a history shows what was written: it may wait for a transaction of the server's own."""
    for _ in range(250):
        answer = client.get(path, params=query)
        if told(answer) == wanted:
            break
        time.sleep(0.02)
    assert told(answer) == wanted
    return answer


def test_fhir_V1_and_V4_the_history_of_all_types(fhir, site, world):
    answer = eventually(fhir, "/_history", expected(world))
    bundle = answer.json()
    assert bundle["total"] == 6
    assert bundle["link"] == [{"relation": "self", "url": f"{site.base}/_history"}]
    deleted, changed, *_ = bundle["entry"]
    assert "resource" not in deleted
    assert (deleted["fullUrl"], changed["fullUrl"]) == (f"{site.base}/Patient/two", f"{site.base}/Patient/one")
    assert changed["response"]["etag"] == 'W/"2"'
    assert changed["response"]["lastModified"] == changed["resource"]["meta"]["lastUpdated"]
    assert changed["resource"]["name"][0]["family"] == "Chalmers"


def test_fhir_V1_the_history_of_a_type(fhir, site, world):
    answer = eventually(fhir, "/Patient/_history", [each for each in expected(world) if each[1] != "Observation"])
    assert answer.json()["total"] == 4
    assert answer.json()["link"][0]["url"] == f"{site.base}/Patient/_history"
    assert told(fhir.get("/Observation/_history")) == [("POST", "Observation", "201")]
    assert told(fhir.get("/Encounter/_history")) == []
    assert fhir.get("/Encounter/_history").json()["total"] == 0


def test_fhir_V1_the_newest_come_first_then_the_higher_version(fhir, world):
    eventually(fhir, "/_history", expected(world))
    entries = fhir.get("/_history").json()["entry"]
    places = [(each["response"]["lastModified"], int(each["response"]["etag"][3:-1])) for each in entries]
    assert places == sorted(places, reverse=True)


@pytest.mark.parametrize("path", ["/_history", "/Patient/_history", "/Patient/one/_history"])
def test_fhir_V3_pages_hold_every_version_once(fhir, world, path):
    eventually(fhir, "/_history", expected(world))
    whole = fhir.get(path).json()["entry"]
    seen: list[Any] = []
    url: str | None = f"{path}?_count=1"
    while url:
        bundle = fhir.get(url).json()
        seen += bundle["entry"]
        assert bundle["total"] == len(whole)
        url = {each["relation"]: each["url"] for each in bundle["link"]}.get("next")
    assert seen == whole


@pytest.mark.parametrize("path", ["/_history", "/Patient/_history", "/Patient/one/_history"])
def test_fhir_V3_count_is_the_page_size(fhir, world, path):
    eventually(fhir, "/_history", expected(world))
    assert len(told(fhir.get(f"{path}?_count=1"))) == 1
    whole = fhir.get(f"{path}?_count=1000000").json()
    assert len(whole["entry"]) == whole["total"]
    none = fhir.get(f"{path}?_count=0").json()
    assert "entry" not in none
    assert none["total"] == whole["total"]


@pytest.mark.parametrize("path", ["/_history", "/Patient/_history"])
def test_fhir_V3_since_is_at_or_after_the_instant(fhir, world, path):
    eventually(fhir, "/_history", expected(world))
    entries = fhir.get(path).json()["entry"]
    second = entries[1]["response"]["lastModified"]
    found = fhir.get(path, params={"_since": second}).json()
    assert found["entry"] == entries[:2]
    assert found["total"] == 2
    assert fhir.get(path, params={"_since": "2100-01-01"}).json()["total"] == 0
    assert f"_since={second.replace(':', '%3A')}" in found["link"][0]["url"]


@pytest.mark.parametrize("path", ["/_history", "/Patient/_history"])
def test_fhir_V3_at_gives_what_was_current_at_some_time_of_the_period(fhir, world, path):
    eventually(fhir, "/_history", expected(world))
    entries = [each for each in fhir.get(path).json()["entry"] if each["request"]["url"] == "Patient/one"]
    new, old = (each["response"]["lastModified"] for each in entries)

    def versions(at: str) -> list[str]:
        found = fhir.get(path, params={"_at": at}).json().get("entry", ())
        return [each["response"]["etag"] for each in found if each["request"]["url"] == "Patient/one"]

    assert versions(old) == ['W/"1"']
    assert versions(new) == ['W/"2"']
    assert versions("2000") == []
    assert versions("2100") == ['W/"2"']
    assert versions(new[:4]) == ['W/"2"', 'W/"1"']


@pytest.mark.parametrize("path", ["/_history", "/Patient/_history", "/Patient/one/_history"])
@pytest.mark.parametrize(
    "query",
    ["_since=2024&_at=2024", "_since=yesterday", "_at=2024-13", "_count=-1", "_count=x", "_sort=name", "_list=a b"],
)
def test_fhir_V3_what_cannot_be_asked_for_is_refused(fhir, world, path, query):
    answer = fhir.get(f"{path}?{query}")
    assert answer.status_code == 400
    assert issues(answer)[0]["code"] == "invalid"


@pytest.mark.parametrize("path", ["/_history", "/Patient/_history", "/Patient/one/_history"])
@pytest.mark.parametrize("sort", ["_lastUpdated", "-_lastUpdated"])
def test_fhir_V5_an_order_by_lastUpdated_is_tolerated(fhir, world, path, sort):
    eventually(fhir, "/_history", expected(world))
    assert told(fhir.get(path, params={"_sort": sort})) == told(fhir.get(path))


@pytest.mark.parametrize("path", ["/_history", "/Patient/_history", "/Patient/one/_history"])
def test_an_unknown_parameter_is_ignored_or_with_strict_handling_refused(fhir, world, path):
    assert fhir.get(f"{path}?name=x").status_code == 200
    assert fhir.get(f"{path}?name=x", headers={"Prefer": "handling=strict"}).status_code == 400
    assert fhir.get(f"{path}?_since=2024&_pretty=true", headers={"Prefer": "handling=strict"}).status_code == 200


@pytest.mark.parametrize("path", ["/_history", "/Patient/_history", "/Patient/one/_history"])
def test_fhir_H7_head_is_get_without_body(fhir, world, path):
    answer = fhir.head(path)
    assert (answer.status_code, answer.content) == (200, b"")
    assert fhir.get(f"{path}/").status_code == 200


def test_fhir_V3_a_list_keeps_what_it_names(fhir, site):
    own = f"listed-{next(_numbers)}"
    for family in ("One", "Two", "Three"):
        put(fhir, f"Patient/{own}", family)
    put(fhir, f"Patient/{own}-not")
    put(fhir, f"Patient/{own}-also")
    items = [
        f"Patient/{own}/_history/2",
        f"{site.base}/Patient/{own}-also",
        "Patient/never",
        "https://elsewhere.test/x",
    ]
    a_list = {
        "resourceType": "List",
        "status": "current",
        "mode": "working",
        "entry": [{"item": {"reference": each}} for each in items],
    }
    made = fhir.post("/List", json=a_list).json()["id"]
    wanted = [("PUT", f"Patient/{own}-also", "201"), ("PUT", f"Patient/{own}", "200")]
    for path in ("/_history", "/Patient/_history"):
        answer = eventually(fhir, path, wanted, _list=made)
        assert answer.json()["entry"][1]["response"]["etag"] == 'W/"2"'
    assert told(fhir.get(f"/Patient/{own}/_history", params={"_list": f"List/{made}"})) == wanted[1:]
    assert told(fhir.get(f"/Patient/{own}-not/_history", params={"_list": made})) == []
    assert told(fhir.get("/_history", params={"_list": "never"})) == []
    assert site.client("system/Patient.rs").get("/Patient/_history", params={"_list": made}).status_code == 403


def test_fhir_V6_a_patients_app_sees_its_own_versions(fhir, site):
    own, other = f"mine-{next(_numbers)}", f"theirs-{next(_numbers)}"
    put(fhir, f"Patient/{own}")
    put(fhir, f"Patient/{other}")
    mine = fhir.post("/Observation", json=observation(f"Patient/{own}")).json()["id"]
    fhir.post("/Observation", json=observation(f"Patient/{other}"))
    put(fhir, f"Patient/{own}", "New")
    fhir.delete(f"/Observation/{mine}")
    app = site.client("patient/*.rs", role="PATIENT", patient=own)
    wanted = [
        ("DELETE", f"Observation/{mine}", "204"),
        ("PUT", f"Patient/{own}", "200"),
        ("POST", "Observation", "201"),
        ("PUT", f"Patient/{own}", "201"),
    ]

    def shown(path: str) -> list[Any]:
        whole = told(app.get(path))
        return [each for each in whole if each[1].partition("/")[0] in {"Patient", "Observation"}]

    eventually(app, "/Observation/_history", [wanted[0], wanted[2]])
    assert shown("/_history") == wanted
    assert told(app.get("/Patient/_history")) == [wanted[1], wanted[3]]
    assert app.get("/Patient/_history?_count=1").json()["total"] == 2
    assert app.get(f"/Patient/{other}/_history").status_code == 404
    assert other not in app.get("/_history").text


@pytest.mark.parametrize("path", ["/_history", "/Patient/_history"])
def test_security_AZ4_histories_need_a_token_and_the_right_to_search(site, path):
    assert httpx.get(f"{site.base}{path}").status_code == 401
    refused = site.client("system/Patient.r").get(path)
    assert refused.status_code == 403
    assert issues(refused)[0]["code"] == "forbidden"
    assert site.client("system/Observation.rs").get("/Patient/_history").status_code == 403
    assert site.client("system/Patient.s").get(path).status_code == 200


def test_histories_of_another_organization_are_not_seen(fhir, org, world):
    assert told(org.get("/_history")) == []
    put(org, "Patient/elsewhere")
    eventually(org, "/_history", [("PUT", "Patient/elsewhere", "201")])
    assert "Patient/elsewhere" not in fhir.get("/_history").text


def test_security_AZ10_a_foreign_or_altered_place_is_refused(fhir, site, world):
    eventually(fhir, "/Patient/_history", told(fhir.get("/Patient/_history")))
    link = {each["relation"]: each["url"] for each in fhir.get("/Patient/_history?_count=1").json()["link"]}["next"]
    assert site.client("patient/*.rs", role="PATIENT", patient="one").get(link).status_code == 400
    assert fhir.get(link.replace("Patient/_history", "_history")).status_code == 400
    assert fhir.get(f"{link}x").status_code == 400


@pytest.mark.parametrize("kind", ["batch", "transaction"])
@pytest.mark.parametrize("url", ["_history?_count=1", "Patient/_history?_count=1", "Patient/one/_history?_count=1"])
def test_fhir_B10_histories_are_entries_of_bundles(fhir, world, kind, url):
    eventually(fhir, "/Patient/_history", told(fhir.get("/Patient/_history")))
    bundle = {"resourceType": "Bundle", "type": kind, "entry": [{"request": {"method": "GET", "url": url}}]}
    (entry,) = fhir.post("/", json=bundle).json()["entry"]
    assert entry["response"]["status"] == "200"
    assert entry["resource"]["type"] == "history"
    assert len(entry["resource"]["entry"]) == 1


def test_fhir_B10_a_transaction_sees_its_writes_in_its_histories(fhir):
    own = f"bundled-{next(_numbers)}"
    entries = [
        {"request": {"method": "GET", "url": "Patient/_history?_count=1"}},
        {"request": {"method": "PUT", "url": f"Patient/{own}"}, "resource": patient(id=own)},
    ]
    answer = fhir.post("/", json={"resourceType": "Bundle", "type": "transaction", "entry": entries})
    assert answer.json()["entry"][0]["resource"]["entry"][0]["resource"]["id"] == own

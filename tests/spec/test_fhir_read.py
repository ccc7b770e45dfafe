"""read, vread and history of one resource (FHIR R4 http.html#read, #vread, #history; fhir_rest §2, §6)."""

from __future__ import annotations

import email.utils

import pytest

from tests.site import issues, patient


@pytest.fixture(scope="module")
def stored(fhir):
    """A Patient of three versions."""
    created = fhir.post("/Patient", json=patient("First")).json()
    for family in ("Second", "Third"):
        fhir.put(f"/Patient/{created['id']}", json=patient(family, id=created["id"]))
    return created["id"]


@pytest.fixture(scope="module")
def deleted(fhir):
    """A Patient that was created, updated and deleted."""
    created = fhir.post("/Patient", json=patient("Gone")).json()
    fhir.put(f"/Patient/{created['id']}", json=patient("Going", id=created["id"]))
    assert fhir.delete(f"/Patient/{created['id']}").status_code == 204
    return created["id"]


def test_fhir_R1_read_gives_the_current_version(fhir, stored):
    answer = fhir.get(f"/Patient/{stored}")
    assert answer.status_code == 200
    assert answer.json()["name"][0]["family"] == "Third"
    assert answer.json()["meta"]["versionId"] == "3"


def test_fhir_R1_what_never_was_is_404_not_found(fhir):
    answer = fhir.get("/Patient/never")
    assert (answer.status_code, issues(answer)[0]["code"]) == (404, "not-found")


def test_fhir_R1_what_was_deleted_is_410_deleted_with_its_etag(fhir, deleted):
    answer = fhir.get(f"/Patient/{deleted}")
    assert (answer.status_code, issues(answer)[0]["code"]) == (410, "deleted")
    assert answer.headers["etag"] == 'W/"3"'
    assert answer.headers["last-modified"]


@pytest.mark.parametrize("tags", ['W/"3"', '"3"', 'W/"1", W/"3"', "*"])
def test_fhir_R2_if_none_match_of_the_current_version_is_304_without_body(fhir, stored, tags):
    answer = fhir.get(f"/Patient/{stored}", headers={"If-None-Match": tags})
    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["etag"] == 'W/"3"'


def test_fhir_R2_if_none_match_of_another_version_is_200(fhir, stored):
    assert fhir.get(f"/Patient/{stored}", headers={"If-None-Match": 'W/"2"'}).status_code == 200


@pytest.mark.parametrize(("seconds", "status"), [(0, 304), (60, 304), (-60, 200)])
def test_fhir_R2_if_modified_since_compares_seconds(fhir, stored, seconds, status):
    modified = email.utils.parsedate_to_datetime(fhir.get(f"/Patient/{stored}").headers["last-modified"]).timestamp()
    since = email.utils.formatdate(modified + seconds, usegmt=True)
    assert fhir.get(f"/Patient/{stored}", headers={"If-Modified-Since": since}).status_code == status


def test_fhir_R2_if_none_match_decides_when_both_are_given(fhir, stored):
    future = email.utils.formatdate(4_000_000_000, usegmt=True)
    headers = {"If-None-Match": 'W/"1"', "If-Modified-Since": future}
    assert fhir.get(f"/Patient/{stored}", headers=headers).status_code == 200


@pytest.mark.parametrize(("version", "family"), [(1, "First"), (2, "Second"), (3, "Third")])
def test_fhir_R3_vread_gives_the_version(fhir, stored, version, family):
    answer = fhir.get(f"/Patient/{stored}/_history/{version}")
    assert answer.status_code == 200
    assert answer.json()["name"][0]["family"] == family
    assert answer.headers["etag"] == f'W/"{version}"'


@pytest.mark.parametrize("version", ["4", "0", "x", "99999999999999999999"])
def test_fhir_R3_an_unknown_version_is_404(fhir, stored, version):
    assert fhir.get(f"/Patient/{stored}/_history/{version}").status_code == 404


def test_fhir_R3_the_version_that_is_the_deletion_is_410_and_older_ones_stay(fhir, deleted):
    assert fhir.get(f"/Patient/{deleted}/_history/3").status_code == 410
    assert fhir.get(f"/Patient/{deleted}/_history/1").json()["name"][0]["family"] == "Gone"


def test_fhir_R5_versions_count_up_and_last_updated_never_decreases(fhir, stored):
    bodies = [fhir.get(f"/Patient/{stored}/_history/{version}").json()["meta"] for version in (1, 2, 3)]
    assert [body["versionId"] for body in bodies] == ["1", "2", "3"]
    moments = [body["lastUpdated"] for body in bodies]
    assert moments == sorted(moments)


def test_fhir_R6_the_same_version_is_the_same_bytes(fhir, stored):
    current = fhir.get(f"/Patient/{stored}").content
    assert current == fhir.get(f"/Patient/{stored}/_history/3").content == fhir.get(f"/Patient/{stored}").content


def test_fhir_V1_history_lists_all_versions_newest_first(fhir, site, stored):
    bundle = fhir.get(f"/Patient/{stored}/_history").json()
    assert (bundle["type"], bundle["total"]) == ("history", 3)
    assert [entry["resource"]["meta"]["versionId"] for entry in bundle["entry"]] == ["3", "2", "1"]
    for entry in bundle["entry"]:
        assert entry["fullUrl"] == f"{site.base}/Patient/{stored}"
        assert entry["response"]["etag"] == f'W/"{entry["resource"]["meta"]["versionId"]}"'
        assert entry["response"]["lastModified"] == entry["resource"]["meta"]["lastUpdated"]
    assert bundle["link"][0] == {"relation": "self", "url": f"{site.base}/Patient/{stored}/_history"}


def test_fhir_V2_history_of_what_never_was_is_404_and_of_what_was_deleted_200(fhir, deleted):
    assert fhir.get("/Patient/never/_history").status_code == 404
    assert fhir.get(f"/Patient/{deleted}/_history").status_code == 200


def test_fhir_V4_entries_tell_how_the_version_arose(fhir, deleted):
    fhir.put(f"/Patient/{deleted}", json=patient("Back", id=deleted))
    entries = fhir.get(f"/Patient/{deleted}/_history").json()["entry"]
    own = f"Patient/{deleted}"
    assert told({"entry": entries}) == [
        ("PUT", own, "201"),
        ("DELETE", own, "204"),
        ("PUT", own, "200"),
        ("POST", "Patient", "201"),
    ]
    assert ["resource" in entry for entry in entries] == [True, False, True, True]
    fhir.delete(f"/Patient/{deleted}")


def told(bundle):
    return [
        (entry["request"]["method"], entry["request"]["url"], entry["response"]["status"]) for entry in bundle["entry"]
    ]


def test_fhir_V4_an_update_that_created_is_a_put(fhir):
    own = "Patient/chosen-by-client"
    fhir.put(f"/{own}", json=patient("Own", id="chosen-by-client"))
    assert told(fhir.get(f"/{own}/_history").json()) == [("PUT", own, "201")]


def test_fhir_V4_the_page_of_a_creation_after_a_deletion_tells_so_without_the_deletion(fhir):
    own = "Patient/twice-by-client"
    fhir.put(f"/{own}", json=patient("Own", id="twice-by-client"))
    fhir.delete(f"/{own}")
    back = fhir.put(f"/{own}", json=patient("Back", id="twice-by-client")).json()["meta"]["lastUpdated"]
    for query in ({"_count": "1"}, {"_since": back}):
        assert told(fhir.get(f"/{own}/_history", params=query).json())[0] == ("PUT", own, "201")
    fhir.put(f"/{own}", json=patient("Changed", id="twice-by-client"))
    newest = told(fhir.get(f"/{own}/_history").json())
    assert newest == [("PUT", own, "200"), ("PUT", own, "201"), ("DELETE", own, "204"), ("PUT", own, "201")]


def test_fhir_V4_entries_of_bundles_are_told_as_what_they_were(fhir):
    entries = [
        {"request": {"method": "PUT", "url": "Patient/in-a-bundle"}, "resource": patient("Put", id="in-a-bundle")},
        {"request": {"method": "POST", "url": "Patient"}, "resource": patient("Posted")},
    ]
    answer = fhir.post("", json={"resourceType": "Bundle", "type": "transaction", "entry": entries}).json()
    put, posted = (entry["response"]["location"].split("/_history")[0] for entry in answer["entry"])
    assert told(fhir.get(f"/{put}/_history").json()) == [("PUT", put, "201")]
    assert told(fhir.get(f"/{posted}/_history").json()) == [("POST", "Patient", "201")]


def test_fhir_V3_pages_of_a_history_hold_every_version_once(fhir, stored):
    seen, url = [], f"/Patient/{stored}/_history?_count=1"
    while url:
        bundle = fhir.get(url).json()
        seen += [entry["resource"]["meta"]["versionId"] for entry in bundle["entry"]]
        url = next((link["url"] for link in bundle["link"] if link["relation"] == "next"), None)
    assert seen == ["3", "2", "1"]


def test_fhir_V3_since_gives_versions_at_or_after_the_instant(fhir, stored):
    second = fhir.get(f"/Patient/{stored}/_history/2").json()["meta"]["lastUpdated"]
    bundle = fhir.get(f"/Patient/{stored}/_history", params={"_since": second}).json()
    assert [entry["resource"]["meta"]["versionId"] for entry in bundle["entry"]][-1] in {"1", "2"}
    assert fhir.get(f"/Patient/{stored}/_history", params={"_since": "2100-01-01"}).json().get("entry") is None


def test_fhir_V3_at_gives_versions_that_were_current(fhir, stored):
    bundle = fhir.get(f"/Patient/{stored}/_history", params={"_at": "2100"}).json()
    assert [entry["resource"]["meta"]["versionId"] for entry in bundle["entry"]] == ["3"]


@pytest.mark.parametrize("query", ["_since=2024&_at=2024", "_since=yesterday", "_count=-1", "_count=x"])
def test_fhir_V3_parameters_that_cannot_be_read_are_400(fhir, stored, query):
    assert fhir.get(f"/Patient/{stored}/_history?{query}").status_code == 400

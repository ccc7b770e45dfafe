"""/metadata over HTTP (FHIR R4 http.html#capabilities; us_core.md §4)."""

from __future__ import annotations

import httpx
import pytest

from tests.site import issues


@pytest.fixture(scope="module")
def anybody(site):
    with httpx.Client(base_url=site.base) as client:
        yield client


@pytest.mark.parametrize("accept", ["application/fhir+json", "application/json", "*/*", ""])
def test_uscore_C1_anybody_may_read_it_in_any_json(anybody, accept):
    answer = anybody.get("/metadata", headers={"Accept": accept})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/fhir+json; charset=utf-8"
    assert answer.json()["resourceType"] == "CapabilityStatement"


def test_uscore_C1_any_page_of_the_web_may_read_it(anybody):
    answer = anybody.get("/metadata", headers={"Origin": "https://app.example"})
    assert answer.headers.get("access-control-allow-origin") == "*"


def test_fhir_H3_formats_of_metadata(anybody):
    assert anybody.get("/metadata?_format=json").status_code == 200
    assert anybody.get("/metadata?_format=xml").status_code == 406
    assert anybody.get("/metadata", headers={"Accept": "application/fhir+xml"}).status_code == 406
    assert "\n" in anybody.get("/metadata?_pretty=true").text


def test_fhir_H7_head_of_metadata(anybody):
    answer = anybody.head("/metadata")
    assert (answer.status_code, answer.content) == (200, b"")


def test_fhir_R2_metadata_is_not_sent_again_to_who_has_it(anybody):
    tag = anybody.get("/metadata").headers["etag"]
    for has in (tag, tag.removeprefix("W/"), f'"other", {tag}', "*"):
        answer = anybody.get("/metadata", headers={"If-None-Match": has})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)
    assert anybody.get("/metadata", headers={"If-None-Match": '"other"'}).status_code == 200


def test_fhir_capabilities_modes(anybody):
    full = anybody.get("/metadata?mode=full")
    assert full.content == anybody.get("/metadata").content
    normative = anybody.get("/metadata?mode=normative").json()
    assert 0 < len(normative["rest"][0]["resource"]) < len(full.json()["rest"][0]["resource"])
    assert anybody.get("/metadata?mode=terminology").json()["resourceType"] == "TerminologyCapabilities"
    refused = anybody.get("/metadata?mode=loud")
    assert (refused.status_code, issues(refused)[0]["code"]) == (400, "invalid")


def test_fhir_Q5_Q6_a_part_of_metadata(anybody):
    part = anybody.get("/metadata?_elements=url,rest")
    assert {"resourceType", "meta", "url", "rest", "status", "fhirVersion"} <= part.json().keys()
    assert "software" not in part.json()
    assert part.json()["meta"]["tag"][0]["code"] == "SUBSETTED"
    assert part.headers["etag"] != anybody.get("/metadata").headers["etag"]
    assert "rest" not in anybody.get("/metadata?_summary=text").json()
    assert anybody.get("/metadata?_summary=loud").status_code == 400


def test_fhir_H14_metadata_is_packed_for_who_takes_it(anybody):
    plain = anybody.get("/metadata", headers={"Accept-Encoding": "identity"})
    packed = anybody.get("/metadata", headers={"Accept-Encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) < int(plain.headers["content-length"]) / 5
    assert packed.json() == plain.json()
    assert "\n" in anybody.get("/metadata?_pretty=true", headers={"Accept-Encoding": "gzip"}).text


def test_uscore_C7_it_names_where_it_is(site, anybody):
    assert anybody.get("/metadata").json()["implementation"]["url"] == site.base

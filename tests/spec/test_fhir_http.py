"""General HTTP (FHIR R4 http.html; fhir_rest §1 H1-H15, §11, §12), over real HTTP on both engines."""

from __future__ import annotations

import json
import re

import httpx
import pytest

from capability.registry import SYSTEM_INTERACTIONS, TYPE_INTERACTIONS
from tests.site import issues, observation, patient, running_site


@pytest.fixture(scope="module")
def stored(fhir):
    return fhir.post("/Patient", json=patient("Stored")).json()


@pytest.mark.parametrize("path", ["/patient/1", "/Patients", "/Unknown", "/DomainResource"])
def test_fhir_H1_an_unknown_type_is_404_not_supported(fhir, path):
    answer = fhir.get(path)
    assert answer.status_code == 404
    assert issues(answer)[0]["code"] == "not-supported"


@pytest.mark.parametrize(
    ("method", "path"), [("PATCH", "/Patient/1/_history"), ("DELETE", "/Patient/1/_history/1"), ("POST", "/Patient/1")]
)
def test_fhir_H1_an_interaction_that_is_not_served_is_405_with_allow(fhir, method, path):
    answer = fhir.request(method, path, json={})
    assert answer.status_code == 405
    assert issues(answer)[0]["code"] == "not-supported"
    assert "GET" in answer.headers["allow"]


@pytest.mark.parametrize("path", ["/Observation/1/$everything", "/$export"])
def test_fhir_H1_what_comes_later_is_404_not_supported(fhir, path):
    answer = fhir.get(path)
    assert (answer.status_code, issues(answer)[0]["code"]) == (404, "not-supported")


def test_fhir_H2_an_impossible_id_is_404_on_read_and_400_on_write(fhir):
    assert fhir.get("/Patient/a_b").status_code == 404
    answer = fhir.put("/Patient/a_b", json=patient(id="a_b"))
    assert (answer.status_code, issues(answer)[0]["code"]) == (400, "value")


def test_fhir_H2_ids_are_case_sensitive(fhir):
    assert fhir.put("/Patient/CaseId", json=patient(id="CaseId")).status_code == 201
    assert fhir.get("/Patient/CaseId").status_code == 200
    assert fhir.get("/Patient/caseid").status_code == 404


@pytest.mark.parametrize(("accept", "status"), [("application/fhir+xml", 406), ("text/html", 200), ("*/*", 200)])
def test_fhir_H3_accept_decides(fhir, stored, accept, status):
    answer = fhir.get(f"/Patient/{stored['id']}", headers={"Accept": accept})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/fhir+json; charset=utf-8"


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("_format=json", 200),
        ("_format=application/fhir+json", 200),  # the + is a space once it is decoded
        ("_format=application%2Ffhir%2Bjson", 200),
        ("_format=xml", 406),
        ("fhirVersion=4.0", 200),
        ("fhirVersion=5.0", 406),
    ],
)
def test_fhir_H3_format_parameter_wins_over_accept(fhir, stored, query, status):
    answer = fhir.get(f"/Patient/{stored['id']}?{query}", headers={"Accept": "application/fhir+json"})
    assert answer.status_code == status


@pytest.mark.parametrize("path", ["/Patient/none", "/Nothing", "/Patient?name:wrong=x", "/Patient/a_b"])
def test_fhir_H4_errors_are_operation_outcomes_in_json(fhir, path):
    answer = fhir.get(path, headers={"Accept": "text/html"})
    assert answer.headers["content-type"] == "application/fhir+json; charset=utf-8"
    for issue in issues(answer):
        assert issue["severity"] in {"error", "fatal"}
        assert issue["diagnostics"]
        assert issue["details"]["text"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "application/fhir+xml"}, 415),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/fhir+json; charset=iso-8859-1"}, 415),
        ({"Content-Type": "application/fhir+json", "Content-Encoding": "br"}, 415),
        ({"Content-Type": "application/json"}, 201),
        ({"Content-Type": "text/json; charset=utf-8"}, 201),
    ],
)
def test_fhir_H5_the_kind_of_body_is_checked(fhir, headers, status):
    answer = fhir.post("/Patient", content=json.dumps(patient()), headers=headers)
    assert answer.status_code == status


def test_fhir_H5_a_byte_order_mark_is_tolerated(fhir):
    body = b"\xef\xbb\xbf" + json.dumps(patient()).encode()
    assert fhir.post("/Patient", content=body).status_code == 201


def test_fhir_H6_pretty_json_is_the_same_json(fhir, stored):
    plain = fhir.get(f"/Patient/{stored['id']}")
    pretty = fhir.get(f"/Patient/{stored['id']}?_pretty=true")
    assert "\n" not in plain.text
    assert "\n  " in pretty.text
    assert plain.json() == pretty.json()
    assert fhir.get(f"/Patient/{stored['id']}?_pretty=maybe").status_code == 400


@pytest.mark.parametrize("path", ["/metadata", "/Patient/{id}", "/Patient/{id}/_history", "/Patient", "/Patient/none"])
def test_fhir_H7_head_is_get_without_body(fhir, stored, path):
    path = path.format(id=stored["id"])
    full, bare = fhir.get(path), fhir.head(path)
    assert bare.status_code == full.status_code
    assert bare.content == b""
    assert bare.headers["content-length"] == full.headers["content-length"]
    assert bare.headers.get("etag") == full.headers.get("etag")


def test_fhir_H7_options_names_the_methods(fhir):
    answer = fhir.options("/Patient/1")
    assert answer.status_code == 204
    assert answer.headers["allow"] == "GET, HEAD, PUT, PATCH, DELETE, OPTIONS"
    assert answer.headers["accept-patch"] == "application/json-patch+json, application/fhir+json"


def test_fhir_H7_a_trailing_slash_is_tolerated(fhir, stored):
    answer = fhir.get(f"/Patient/{stored['id']}/", follow_redirects=False)
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("prefer", "body"),
    [
        (None, "Patient"),
        ("return=representation", "Patient"),
        ("return=minimal", None),
        ("return=OperationOutcome", "OperationOutcome"),
    ],
)
def test_fhir_H8_the_body_of_a_write_is_what_the_client_prefers(fhir, prefer, body):
    headers = {"Prefer": prefer} if prefer else {}
    created = fhir.post("/Patient", json=patient(), headers=headers)
    assert created.status_code == 201
    assert created.headers["location"]
    assert (created.json()["resourceType"] if created.content else None) == body
    key = created.headers["location"].split("/")[-3]
    updated = fhir.put(f"/Patient/{key}", json=patient("Other", id=key), headers=headers)
    assert updated.status_code == 200
    assert (updated.json()["resourceType"] if updated.content else None) == body


def test_fhir_H8_several_prefer_headers_combine(fhir):
    headers = httpx.Headers([("Prefer", "handling=strict"), ("Prefer", "return=minimal")])
    assert fhir.post("/Patient", json=patient(), headers=headers).content == b""
    answer = fhir.get("/Patient?unheard-of=1", headers=headers)
    assert answer.status_code == 400


def test_fhir_H9_etag_and_last_modified_are_those_of_the_version(fhir):
    created = fhir.post("/Patient", json=patient())
    read = fhir.get(f"/Patient/{created.json()['id']}")
    vread = fhir.get(created.headers["location"])
    for answer in (created, read, vread):
        assert answer.headers["etag"] == 'W/"1"'
        assert answer.headers["last-modified"].endswith(" GMT")


def test_fhir_H10_the_request_id_is_echoed_or_made(fhir):
    assert fhir.get("/Patient/none", headers={"X-Request-Id": "abc-1"}).headers["x-request-id"] == "abc-1"
    made = fhir.get("/Patient/none", headers={"X-Request-Id": "no spaces please"}).headers["x-request-id"]
    assert re.fullmatch(r"[0-9a-f]{16}", made)


def test_fhir_H12_decimals_dates_extensions_and_primitive_siblings_come_back_as_sent(fhir):
    body = (
        '{"resourceType":"Observation","status":"final","code":{"text":"x","coding":[{"code":"a"}]},'
        '"subject":{"reference":"Patient/h12"},"effectiveDateTime":"2024-02-29T10:00:00.120+05:30",'
        '"valueQuantity":{"value":1.10,"unit":"mg"},"extension":[{"url":"http://example.org/x","valueDecimal":0.000}],'
        '"_status":{"extension":[{"url":"http://example.org/y","valueDate":"1974"}]}}'
    )
    created = fhir.post("/Observation", content=body)
    assert created.status_code == 201, created.text
    text = fhir.get(f"/Observation/{created.json()['id']}").text
    for kept in (
        '"value":1.10',
        '"valueDecimal":0.000',
        "2024-02-29T10:00:00.120+05:30",
        '"valueDate":"1974"',
        '"_status"',
    ):
        assert kept in text


def test_fhir_H13_unknown_elements_are_refused_with_their_place(fhir):
    answer = fhir.post("/Patient", json=patient(favouriteColour="red"))
    assert answer.status_code == 400
    assert any("Patient" in str(issue.get("expression")) for issue in issues(answer))


def test_fhir_H15_the_method_cannot_be_overridden(fhir, stored):
    fhir.post(f"/Patient/{stored['id']}", headers={"X-HTTP-Method-Override": "DELETE"}, json={})
    fhir.get(f"/Patient/{stored['id']}?_method=DELETE")
    assert fhir.get(f"/Patient/{stored['id']}").status_code == 200


def test_security_PH2_PH3_answers_may_not_be_stored_and_say_what_they_vary_with(fhir, stored):
    headers = fhir.get(f"/Patient/{stored['id']}").headers
    assert headers["cache-control"] == "no-store"
    assert {part.strip() for part in headers["vary"].split(",")} == {
        "Accept",
        "Accept-Encoding",
        "Authorization",
        "Prefer",
        "Origin",
    }
    assert headers["x-content-type-options"] == "nosniff"
    assert "server" not in headers


def test_metadata_needs_no_token_and_lists_what_is_served(site):
    statement = httpx.get(f"{site.base}/metadata").json()
    assert statement["resourceType"] == "CapabilityStatement"
    (rest,) = statement["rest"]
    served = {each["type"]: {one["code"] for one in each["interaction"]} for each in rest["resource"]}
    assert served["Patient"] == set(TYPE_INTERACTIONS)
    assert {each["code"] for each in rest["interaction"]} == set(SYSTEM_INTERACTIONS)


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/Patient/1"), ("GET", "/Nothing"), ("POST", "/"), ("DELETE", "/Patient/1")]
)
def test_without_a_token_everything_else_is_401(site, method, path):
    answer = httpx.request(method, f"{site.base}{path}")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert issues(answer)[0]["code"] == "login"


def test_a_token_in_the_query_is_401(site):
    assert httpx.get(f"{site.base}/Patient?access_token={site.token()}").status_code == 401


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/Patient", patient()),
        ("PUT", "/Patient/1", patient(id="1")),
        ("DELETE", "/Patient/1", None),
        ("GET", "/Patient", None),
    ],
)
def test_a_scope_that_does_not_reach_is_403_before_anything_is_looked_at(site, method, path, body):
    reader = site.client("system/Observation.r")
    answer = reader.request(method, path, json=body)
    assert (answer.status_code, issues(answer)[0]["code"]) == (403, "forbidden")


def test_what_is_not_visible_is_answered_like_what_is_not_there(site, fhir, stored):
    own = fhir.post("/Patient", json=patient("Own")).json()["id"]
    mine = fhir.post("/Observation", json=observation(f"Patient/{own}")).json()["id"]
    other = fhir.post("/Observation", json=observation(f"Patient/{stored['id']}")).json()["id"]
    app = site.client("patient/*.rs", role="PATIENT", patient=own)
    assert app.get(f"/Observation/{mine}").status_code == 200
    for path in ("/Observation/{}", "/Observation/{}/_history", "/Observation/{}/_history/1"):
        hidden, absent = app.get(path.format(other)), app.get(path.format("none"))
        assert (hidden.status_code, absent.status_code) == (404, 404)
        assert hidden.text.replace(other, "none") == absent.text
    conditional = app.get(f"/Observation/{other}", headers={"If-None-Match": 'W/"1"'})
    assert conditional.status_code == 404


def test_organizations_do_not_see_each_other(site, stored):
    elsewhere = site.client(organization="health-hub")
    assert elsewhere.get(f"/Patient/{stored['id']}").status_code == 404
    assert elsewhere.get("/Patient").json()["total"] == 0


def test_cross_origin_requests_are_answered_to_registered_origins_only(database_url):
    asked = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
    with running_site(database_url, cors_origins=("https://app.example",)) as site:
        known = httpx.options(f"{site.base}/Patient/1", headers={"Origin": "https://app.example", **asked})
        assert known.status_code == 200
        assert known.headers["access-control-allow-origin"] == "https://app.example"
        assert "access-control-allow-credentials" not in known.headers
        for origin in ("https://evil.example", "null", "https://app.example.evil.example"):
            unknown = httpx.options(f"{site.base}/Patient/1", headers={"Origin": origin, **asked})
            assert "access-control-allow-origin" not in unknown.headers


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/metrics"])
def test_the_addresses_beside_fhir_answer(site, path):
    assert httpx.get(site.settings.base_url + path).status_code == 200


def test_metrics_count_by_interaction(site, fhir, stored):
    fhir.get(f"/Patient/{stored['id']}")
    text = httpx.get(f"{site.settings.base_url}/metrics").text
    assert 'fhir_answers_total{interaction="read",status="200",type="Patient"}' in text
    assert stored["id"] not in text

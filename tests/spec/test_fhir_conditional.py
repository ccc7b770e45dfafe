"""Conditional update, patch and delete (FHIR R4 http.html#cond-update, #3.1.0.7.1, #patch; fhir_rest U6, P4, X4)."""

from __future__ import annotations

import itertools
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.site import issues, observation, patient, running_site

SYSTEM = "http://example.org/mrn"
URN = "urn:uuid:61ebe359-bfdc-4613-8bf2-c5e300945f0{}".format
numbers = itertools.count(1)


@pytest.fixture
def mrn():
    """An identifier that nobody has."""
    return f"c{next(numbers)}"


def having(value, family="Chalmers", **more):
    return patient(family, identifier=[{"system": SYSTEM, "value": value}], **more)


def put(fhir, value, resource=None, **headers):
    return fhir.put(f"/Patient?identifier={SYSTEM}|{value}", json=resource or having(value), headers=headers)


def total(fhir, value):
    return fhir.get(f"/Patient?identifier={SYSTEM}|{value}").json()["total"]


def patch(fhir, address, *operations):
    headers = {"Content-Type": "application/json-patch+json"}
    return fhir.patch(address, content=json.dumps(operations), headers=headers)


ACTIVATE = {"op": "add", "path": "/active", "value": True}


def test_fhir_U6_no_match_and_no_id_creates(fhir, site, mrn):
    answer = put(fhir, mrn)
    key = answer.json()["id"]
    assert (answer.status_code, answer.headers["etag"]) == (201, 'W/"1"')
    assert answer.headers["location"] == f"{site.base}/Patient/{key}/_history/1"
    assert total(fhir, mrn) == 1


def test_fhir_U6_no_match_and_a_new_id_creates_under_it(fhir, mrn):
    answer = put(fhir, mrn, having(mrn, id=f"u6-{mrn}"))
    assert (answer.status_code, answer.json()["id"]) == (201, f"u6-{mrn}")


def test_fhir_U6_no_match_and_an_id_that_was_deleted_revives_it(fhir, mrn):
    fhir.put(f"/Patient/u6-{mrn}", json=patient(id=f"u6-{mrn}"))
    fhir.delete(f"/Patient/u6-{mrn}")
    answer = put(fhir, mrn, having(mrn, id=f"u6-{mrn}"))
    assert (answer.status_code, answer.headers["etag"]) == (201, 'W/"3"')


def test_fhir_U6_no_match_and_an_id_that_is_taken_is_409(fhir, mrn):
    fhir.put(f"/Patient/u6-{mrn}", json=patient("Taken", id=f"u6-{mrn}"))
    answer = put(fhir, mrn, having(mrn, id=f"u6-{mrn}"))
    assert (answer.status_code, issues(answer)[0]["code"]) == (409, "duplicate")
    assert fhir.get(f"/Patient/u6-{mrn}").json()["name"][0]["family"] == "Taken"


@pytest.mark.parametrize("names_id", [False, True])
def test_fhir_U6_one_match_is_updated_whether_the_body_names_it_or_not(fhir, mrn, names_id):
    key = put(fhir, mrn).json()["id"]
    answer = put(fhir, mrn, having(mrn, "Second", **({"id": key} if names_id else {})))
    assert (answer.status_code, answer.headers["etag"], answer.json()["id"]) == (200, 'W/"2"', key)
    assert answer.headers["location"].endswith(f"/Patient/{key}/_history/2")
    assert fhir.get(f"/Patient/{key}").json()["name"][0]["family"] == "Second"


def test_fhir_U6_one_match_under_another_id_is_400(fhir, mrn):
    put(fhir, mrn)
    answer = put(fhir, mrn, having(mrn, id="u6-another"))
    assert (answer.status_code, issues(answer)[0]["code"]) == (400, "invalid")
    assert fhir.get("/Patient/u6-another").status_code == 404


def test_fhir_U6_several_matches_are_412(fhir, mrn):
    for _ in range(2):
        fhir.post("/Patient", json=having(mrn))
    answer = put(fhir, mrn)
    assert (answer.status_code, issues(answer)[0]["code"]) == (412, "multiple-matches")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    "query", ["", "?", "?identifier=", "?_format=json", "?unheard-of=1", "?_count=1", "?birthdate=x", "?_sort=_id"]
)
def test_fhir_U6_P4_X4_a_condition_that_says_nothing_is_400(fhir, method, query):
    body = json.dumps([ACTIVATE] if method == "PATCH" else patient())
    kind = "application/json-patch+json" if method == "PATCH" else "application/fhir+json"
    answer = fhir.request(method, f"/Patient{query}", content=body, headers={"Content-Type": kind})
    assert answer.status_code == 400
    assert issues(answer)[0]["code"] in {"invalid", "not-supported"}


def test_fhir_H3_general_parameters_are_no_criteria(fhir, mrn):
    answer = fhir.put(f"/Patient?_format=json&identifier={SYSTEM}|{mrn}&_pretty=true", json=having(mrn))
    assert answer.status_code == 201
    assert "\n" in answer.text


def test_fhir_U3_if_match_holds_for_what_is_found(fhir, mrn):
    assert put(fhir, mrn, **{"If-Match": 'W/"1"'}).status_code == 412
    assert total(fhir, mrn) == 0
    put(fhir, mrn)
    assert put(fhir, mrn, having(mrn, "Stale"), **{"If-Match": 'W/"2"'}).status_code == 412
    assert put(fhir, mrn, having(mrn, "Fresh"), **{"If-Match": 'W/"1"'}).status_code == 200


def test_fhir_U4_a_conditional_update_with_the_same_content_makes_no_version(fhir, mrn):
    put(fhir, mrn)
    again = put(fhir, mrn)
    assert (again.status_code, again.headers["etag"]) == (200, 'W/"1"')


def test_fhir_P4_none_is_404_one_is_patched_several_are_412(fhir, site, mrn):
    address = f"/Patient?identifier={SYSTEM}|{mrn}"
    none = patch(fhir, address, ACTIVATE)
    assert (none.status_code, issues(none)[0]["code"]) == (404, "not-found")
    key = put(fhir, mrn).json()["id"]
    one = patch(fhir, address, ACTIVATE)
    assert (one.status_code, one.headers["etag"]) == (200, 'W/"2"')
    assert one.headers["location"] == f"{site.base}/Patient/{key}/_history/2"
    fhir.post("/Patient", json=having(mrn))
    several = patch(fhir, address, ACTIVATE)
    assert (several.status_code, issues(several)[0]["code"]) == (412, "multiple-matches")


def test_fhir_X4_none_is_204_one_is_deleted_several_are_412(fhir, mrn):
    address = f"/Patient?identifier={SYSTEM}|{mrn}"
    assert fhir.delete(address).status_code == 204
    key = put(fhir, mrn).json()["id"]
    answer = fhir.delete(address)
    assert (answer.status_code, answer.headers["etag"]) == (204, 'W/"2"')
    assert fhir.get(f"/Patient/{key}").status_code == 410
    assert fhir.delete(address).status_code == 204
    for _ in range(2):
        fhir.post("/Patient", json=having(mrn))
    several = fhir.delete(address)
    assert (several.status_code, issues(several)[0]["code"]) == (412, "multiple-matches")
    assert total(fhir, mrn) == 2


def test_fhir_X2_X4_what_others_refer_to_is_not_deleted(fhir, mrn):
    key = put(fhir, mrn).json()["id"]
    fhir.post("/Observation", json=observation(f"Patient/{key}"))
    assert fhir.delete(f"/Patient?identifier={SYSTEM}|{mrn}").status_code == 409


def test_fhir_X4_several_are_deleted_where_that_is_configured(database_url, mrn):
    with running_site(database_url, conditional_delete="multiple") as site:
        fhir = site.client()
        keys = [fhir.post("/Patient", json=having(mrn, f"N{n}")).json()["id"] for n in range(5)]
        address = f"/Patient?identifier={SYSTEM}|{mrn}"
        assert fhir.delete(address).status_code == 204
        assert {fhir.get(f"/Patient/{key}").status_code for key in keys} == {410}
        assert fhir.delete(address).status_code == 204
        for _ in range(2):
            fhir.post("/Patient", json=having(mrn))
        entries = [{"request": {"method": "DELETE", "url": address[1:]}}]
        answer = fhir.post("/", json={"resourceType": "Bundle", "type": "transaction", "entry": entries})
        assert answer.json()["entry"][0]["response"]["status"] == "204"
        assert total(fhir, mrn) == 0
        resource = next(
            each for each in fhir.get("/metadata").json()["rest"][0]["resource"] if each["type"] == "Patient"
        )
        assert resource["conditionalDelete"] == "multiple"


# --- who may ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scope", "method", "status"),
    [
        ("system/Patient.cru", "PUT", 403),
        ("system/Patient.cds", "PUT", 403),
        ("system/Patient.us", "PUT", 403),
        ("system/Patient.cus", "PUT", 201),
        ("system/Patient.ru", "PATCH", 403),
        ("system/Patient.us", "PATCH", 404),
        ("system/Patient.rd", "DELETE", 403),
        ("system/Patient.ds", "DELETE", 204),
        ("system/Observation.cruds", "DELETE", 403),
    ],
)
def test_smart_conditions_need_the_right_to_search_beside_that_to_write(site, mrn, scope, method, status):
    client = site.client(scope)
    address = f"/Patient?identifier={SYSTEM}|{mrn}"
    match method:
        case "PUT":
            answer = client.put(address, json=having(mrn))
        case "PATCH":
            answer = patch(client, address, ACTIVATE)
        case _:
            answer = client.delete(address)
    assert answer.status_code == status
    if status == 403:
        assert issues(answer)[0]["code"] == "forbidden"


def test_only_what_the_caller_sees_counts_as_a_match(site, fhir):
    own, other = (fhir.post("/Patient", json=patient()).json()["id"] for _ in range(2))
    note = {"system": SYSTEM, "value": f"seen-{own}"}
    theirs = fhir.post("/Observation", json=observation(f"Patient/{other}", identifier=[note])).json()["id"]
    app = site.client("patient/*.cruds", role="APP", patient=own)
    address = f"/Observation?identifier={SYSTEM}|{note['value']}"
    assert patch(app, address, {"op": "add", "path": "/valueString", "value": "x"}).status_code == 404
    assert app.delete(address).status_code == 204
    assert fhir.get(f"/Observation/{theirs}").headers["etag"] == 'W/"1"'
    made = app.put(address, json=observation(f"Patient/{own}", identifier=[note]))
    assert (made.status_code, made.json()["id"] != theirs) == (201, True)
    assert app.delete(address).status_code == 204
    assert fhir.get(f"/Observation/{theirs}").status_code == 200


def test_whether_an_id_is_taken_is_not_told_to_who_cannot_see_it(site, fhir):
    own, other = (fhir.post("/Patient", json=patient()).json()["id"] for _ in range(2))
    app = site.client("patient/*.cruds", role="APP", patient=own)
    mine, theirs = (fhir.post("/Observation", json=observation(f"Patient/{key}")).json()["id"] for key in (own, other))

    def ask(key):
        body = observation(f"Patient/{own}", id=key)
        return app.put(f"/Observation?identifier={SYSTEM}|nobody-has-it", json=body)

    assert ask(mine).status_code == 409
    hidden, absent = ask(theirs), ask("never")
    assert hidden.status_code == absent.status_code == 404
    assert hidden.text.replace(theirs, "never") == absent.text


# --- at once ----------------------------------------------------------------------------------------------------------


def test_fhir_U6_equal_conditional_updates_at_once_make_one_resource(fhir, mrn):
    def write(number):
        return put(fhir, mrn, having(mrn, f"Writer{number}")).status_code

    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(write, range(16)))
    assert sorted(codes) == [200] * 15 + [201]
    assert total(fhir, mrn) == 1


def test_fhir_X4_what_ceases_to_match_meanwhile_is_not_deleted(fhir, mrn):
    key = put(fhir, mrn).json()["id"]
    other = f"{mrn}-other"

    def act(number):
        if number % 2:
            value = mrn if number % 4 == 1 else other
            return fhir.put(f"/Patient/{key}", json=having(value, id=key)).status_code
        return fhir.delete(f"/Patient?identifier={SYSTEM}|{mrn}").status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(act, range(32))) <= {200, 201, 204, 503}
    previous = None
    for each in reversed(fhir.get(f"/Patient/{key}/_history?_count=100").json()["entry"]):
        if each["request"]["method"] == "DELETE":
            assert previous["identifier"][0]["value"] == mrn
        previous = each.get("resource")


# --- in bundles -------------------------------------------------------------------------------------------------------


def bundle(kind, *entries):
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


def entry(method, url, resource=None, full_url=None, **conditions):
    made = {"request": {"method": method, "url": url, **conditions}}
    return made | ({"resource": resource} if resource else {}) | ({"fullUrl": full_url} if full_url else {})


@pytest.mark.parametrize("kind", ["batch", "transaction"])
def test_fhir_B1_U6_conditional_entries_are_answered_like_requests(fhir, kind, mrn):
    known = put(fhir, f"{mrn}-known").json()["id"]
    doomed = put(fhir, f"{mrn}-doomed").json()["id"]
    change = {
        "resourceType": "Parameters",
        "parameter": [
            {
                "name": "operation",
                "part": [
                    {"name": "type", "valueCode": "delete"},
                    {"name": "path", "valueString": "Patient.name.given"},
                ],
            }
        ],
    }
    patched = put(fhir, f"{mrn}-patched").json()["id"]
    answer = fhir.post(
        "/",
        json=bundle(
            kind,
            entry("PUT", f"Patient?identifier={SYSTEM}|{mrn}-new", having(f"{mrn}-new")),
            entry("PUT", f"Patient?identifier={SYSTEM}|{mrn}-known", having(f"{mrn}-known", "Two")),
            entry("DELETE", f"Patient?identifier={SYSTEM}|{mrn}-doomed"),
            entry("DELETE", f"Patient?identifier={SYSTEM}|{mrn}-nobody"),
            entry("PATCH", f"Patient?identifier={SYSTEM}|{mrn}-patched", change),
        ),
    )
    assert answer.status_code == 200, answer.text
    responses = [each["response"] for each in answer.json()["entry"]]
    assert [each["status"] for each in responses] == ["201", "200", "204", "204", "200"]
    assert responses[1]["location"] == f"Patient/{known}/_history/2"
    assert responses[4]["location"] == f"Patient/{patched}/_history/2"
    assert fhir.get(f"/Patient/{doomed}").status_code == 410
    assert total(fhir, f"{mrn}-new") == 1


def test_fhir_B5_references_lead_to_what_conditional_entries_find_or_make(fhir, mrn):
    known = put(fhir, f"{mrn}-known").json()["id"]
    answer = fhir.post(
        "/",
        json=bundle(
            "transaction",
            entry("POST", "Observation", observation(URN(1))),
            entry("POST", "Observation", observation(URN(2))),
            entry("PUT", f"Patient?identifier={SYSTEM}|{mrn}-known", having(f"{mrn}-known", "Two"), URN(1)),
            entry("PUT", f"Patient?identifier={SYSTEM}|{mrn}-new", having(f"{mrn}-new"), URN(2)),
        ),
    )
    assert answer.status_code == 200, answer.text
    first, second, _, made = ("/".join(e["response"]["location"].split("/")[:2]) for e in answer.json()["entry"])
    assert fhir.get(f"/{first}").json()["subject"]["reference"] == f"Patient/{known}"
    assert fhir.get(f"/{second}").json()["subject"]["reference"] == made


def test_fhir_B4_conditions_do_not_find_what_the_transaction_deletes(fhir, mrn):
    old = put(fhir, mrn).json()["id"]
    answer = fhir.post(
        "/",
        json=bundle(
            "transaction",
            entry("PUT", f"Patient?identifier={SYSTEM}|{mrn}", having(mrn, "New")),
            entry("DELETE", f"Patient/{old}"),
        ),
    )
    assert [each["response"]["status"] for each in answer.json()["entry"]] == ["201", "204"]
    assert fhir.get(f"/Patient/{old}").status_code == 410


def test_fhir_B7_the_same_resource_by_address_and_by_condition_is_400(fhir, mrn):
    key = put(fhir, mrn).json()["id"]
    address, query = f"Patient/{key}", f"Patient?identifier={SYSTEM}|{mrn}"
    more = f"{query}&name=Chalmers"
    pairs = [
        (entry("PUT", address, having(mrn, "A", id=key)), entry("PUT", query, having(mrn, "B"))),
        (entry("DELETE", address), entry("DELETE", query)),
        (entry("DELETE", query), entry("DELETE", more)),
        (entry("DELETE", query), entry("PUT", address, having(mrn, "A", id=key))),
        (entry("PUT", query, having(mrn, "A")), entry("PUT", more, having(mrn, "B"))),
        (entry("PUT", query, having(mrn, "A")), entry("POST", "Patient", having(mrn), ifNoneExist=query.split("?")[1])),
    ]
    for entries in pairs:
        for ordered in (entries, entries[::-1]):
            answer = fhir.post("/", json=bundle("transaction", *ordered))
            assert (answer.status_code, issues(answer)[0]["code"]) == (400, "duplicate"), ordered
            assert issues(answer)[0]["expression"][0].startswith("Bundle.entry[")
    assert fhir.get(f"/Patient/{key}").headers["etag"] == 'W/"1"'


@pytest.mark.parametrize(
    ("make", "status"),
    [
        (lambda mrn: entry("PATCH", f"Patient?identifier={SYSTEM}|{mrn}", {"resourceType": "Parameters"}), 404),
        (lambda mrn: entry("PUT", f"Patient?identifier={SYSTEM}|{mrn}-two", having(mrn)), 412),
        (lambda mrn: entry("DELETE", f"Patient?identifier={SYSTEM}|{mrn}-two"), 412),
        (lambda mrn: entry("DELETE", "Patient"), 400),
        (lambda mrn: entry("PUT", "Patient?nothing=1", having(mrn)), 400),
        (lambda mrn: entry("PUT", f"Patient?identifier={SYSTEM}|{mrn}-one", having(mrn, id="elsewhere")), 400),
    ],
)
def test_fhir_B3_a_condition_that_fails_names_its_entry(fhir, mrn, make, status):
    for value in (f"{mrn}-one", f"{mrn}-two", f"{mrn}-two"):
        fhir.post("/Patient", json=having(value))
    answer = fhir.post("/", json=bundle("transaction", entry("POST", "Patient", having(f"{mrn}-half")), make(mrn)))
    assert answer.status_code == status, answer.text
    assert issues(answer)[0]["expression"][0].startswith("Bundle.entry[1]")
    assert total(fhir, f"{mrn}-half") == 0
    batch = fhir.post("/", json=bundle("batch", make(mrn))).json()
    assert batch["entry"][0]["response"]["status"] == str(status)


# --- leftovers of creates and updates ---------------------------------------------------------------------------------

SUBSETTED = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"}


def test_fhir_Q6_a_part_of_a_resource_is_not_stored(fhir):
    for tags in ([SUBSETTED], [{"code": "x"}, SUBSETTED | {"display": "subsetted"}]):
        part = patient(meta={"tag": tags})
        created, updated = fhir.post("/Patient", json=part), fhir.put("/Patient/q6", json=part | {"id": "q6"})
        for answer in (created, updated):
            assert (answer.status_code, issues(answer)[0]["code"]) == (422, "business-rule")
            assert issues(answer)[0]["expression"] == ["Patient.meta.tag"]
    in_bundle = fhir.post("/", json=bundle("transaction", entry("POST", "Patient", patient(meta={"tag": [SUBSETTED]}))))
    assert issues(in_bundle)[0]["expression"] == ["Bundle.entry[0].resource.meta.tag"]
    key = fhir.post("/Patient", json=patient()).json()["id"]
    assert patch(fhir, f"/Patient/{key}", {"op": "add", "path": "/meta/tag", "value": [SUBSETTED]}).status_code == 422


def test_fhir_H8_respond_async_means_nothing_here(fhir, mrn):
    assert put(fhir, mrn, Prefer="respond-async").status_code == 201
    assert fhir.get(f"/Patient?identifier={SYSTEM}|{mrn}", headers={"Prefer": "respond-async"}).status_code == 200
    both = put(fhir, mrn, having(mrn, "B"), Prefer="respond-async, return=minimal")
    assert (both.status_code, both.content) == (200, b"")

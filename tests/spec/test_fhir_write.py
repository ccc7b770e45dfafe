"""create, update, delete (FHIR R4 http.html#create, #update, #delete; fhir_rest §3-§5)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.site import issues, observation, patient, running_site

SYSTEM = "http://example.org/mrn"


def create(fhir, **more):
    return fhir.post("/Patient", json=patient(**more)).json()["id"]


def test_fhir_C1_create_answers_201_with_location_etag_and_last_modified(fhir, site):
    answer = fhir.post("/Patient", json=patient())
    assert answer.status_code == 201
    key = answer.json()["id"]
    assert answer.headers["location"] == f"{site.base}/Patient/{key}/_history/1"
    assert answer.headers["etag"] == 'W/"1"'
    assert answer.headers["last-modified"]


def test_fhir_C1_id_and_version_of_the_client_do_not_count_the_rest_of_meta_is_kept(fhir):
    tag = {"system": "http://example.org/tags", "code": "a"}
    meta = {"versionId": "77", "lastUpdated": "1999-01-01T00:00:00Z", "tag": [tag], "source": "http://example.org/src"}
    body = fhir.post("/Patient", json=patient(id="mine", meta=meta)).json()
    assert body["id"] != "mine"
    assert body["meta"]["versionId"] == "1"
    assert not body["meta"]["lastUpdated"].startswith("1999")
    assert (body["meta"]["tag"], body["meta"]["source"]) == ([tag], "http://example.org/src")


@pytest.mark.parametrize(
    ("body", "code"), [(observation(), "invalid"), ({"name": []}, "structure"), ([], "structure"), ("x", "structure")]
)
def test_fhir_C2_a_body_that_is_no_resource_of_the_type_is_400(fhir, body, code):
    answer = fhir.post("/Patient", json=body)
    assert (answer.status_code, issues(answer)[0]["code"]) == (400, code)


def test_fhir_C2_a_missing_body_is_400(fhir):
    assert fhir.post("/Patient").status_code == 400


def test_fhir_C3_all_faults_come_in_one_reply_with_their_places(fhir):
    answer = fhir.post("/Patient", json=patient(gender="purple", birthDate="1974-02-30", active="yes"))
    assert answer.status_code == 400
    places = {place for issue in issues(answer) for place in issue["expression"]}
    assert places == {"Patient.gender", "Patient.birthDate", "Patient.active"}


def test_fhir_C3_what_breaks_a_rule_only_is_422(fhir):
    answer = fhir.post("/Patient", json=patient(gender="purple"))
    assert (answer.status_code, issues(answer)[0]["code"]) == (422, "code-invalid")


def test_fhir_C4_conditional_create_makes_one_and_answers_with_the_match_afterwards(fhir):
    body = patient(identifier=[{"system": SYSTEM, "value": "c4"}])
    headers = {"If-None-Exist": f"identifier={SYSTEM}|c4"}
    first = fhir.post("/Patient", json=body, headers=headers)
    second = fhir.post("/Patient", json=body, headers=headers)
    assert (first.status_code, second.status_code) == (201, 200)
    assert second.headers["location"] == first.headers["location"]
    assert second.headers["etag"] == 'W/"1"'
    assert fhir.get(f"/Patient?identifier={SYSTEM}|c4").json()["total"] == 1


def test_fhir_C4_several_matches_are_412(fhir):
    for _ in range(2):
        create(fhir, identifier=[{"system": SYSTEM, "value": "twice"}])
    answer = fhir.post("/Patient", json=patient(), headers={"If-None-Exist": f"identifier={SYSTEM}|twice"})
    assert (answer.status_code, issues(answer)[0]["code"]) == (412, "multiple-matches")


@pytest.mark.parametrize(
    "condition", ["", "identifier=", "unheard-of=1", "_sort=name", "birthdate=nonsense", "name:wrong=x"]
)
def test_fhir_C4_a_condition_that_says_nothing_is_400(fhir, condition):
    before = fhir.get("/Patient?_summary=count").json()["total"]
    assert fhir.post("/Patient", json=patient(), headers={"If-None-Exist": condition}).status_code == 400
    assert fhir.get("/Patient?_summary=count").json()["total"] == before


def test_fhir_C4_equal_conditional_creates_at_once_make_one(fhir):
    body = patient(identifier=[{"system": SYSTEM, "value": "race"}])
    headers = {"If-None-Exist": f"identifier={SYSTEM}|race"}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: fhir.post("/Patient", json=body, headers=headers), range(16)))
    assert sorted(answer.status_code for answer in answers) == [200] * 15 + [201]
    assert len({answer.headers["location"] for answer in answers}) == 1


def test_fhir_U1_the_id_of_the_body_is_that_of_the_address(fhir):
    key = create(fhir)
    assert fhir.put(f"/Patient/{key}", json=patient()).status_code == 400
    answer = fhir.put(f"/Patient/{key}", json=patient(id="other"))
    assert (answer.status_code, issues(answer)[0]["code"]) == (400, "invalid")
    assert issues(answer)[0]["expression"] == ["Patient.id"]


def test_fhir_U2_update_is_200_update_as_create_201_with_location(fhir, site):
    answer = fhir.put("/Patient/chosen", json=patient(id="chosen"))
    assert answer.status_code == 201
    assert answer.headers["location"] == f"{site.base}/Patient/chosen/_history/1"
    again = fhir.put("/Patient/chosen", json=patient("Other", id="chosen"))
    assert (again.status_code, again.headers["etag"]) == (200, 'W/"2"')


def test_fhir_U2_an_update_creates_nothing_where_that_is_switched_off(database_url):
    with running_site(database_url, update_as_create=False) as site:
        fhir = site.client()
        absent = fhir.put("/Patient/u2-off", json=patient(id="u2-off"))
        assert (absent.status_code, issues(absent)[0]["code"]) == (404, "not-found")
        by_condition = fhir.put("/Patient?identifier=u2|off", json=patient(id="u2-off"))
        assert by_condition.status_code == 404
        made = fhir.put("/Patient?identifier=u2|off", json=patient(identifier=[{"system": "u2", "value": "off"}]))
        assert made.status_code == 201
        key = made.json()["id"]
        assert fhir.put(f"/Patient/{key}", json=patient("Two", id=key)).status_code == 200
        fhir.delete(f"/Patient/{key}")
        assert fhir.put(f"/Patient/{key}", json=patient("Three", id=key)).headers["etag"] == 'W/"4"'
        resources = fhir.get("/metadata").json()["rest"][0]["resource"]
        assert {each["updateCreate"] for each in resources} == {False}


def test_fhir_U2_X5_update_of_what_was_deleted_revives_it_and_the_version_continues(fhir):
    key = create(fhir)
    fhir.delete(f"/Patient/{key}")
    answer = fhir.put(f"/Patient/{key}", json=patient(id=key))
    assert (answer.status_code, answer.headers["etag"]) == (201, 'W/"3"')


def test_fhir_U2_a_caller_who_sees_one_compartment_cannot_choose_ids(site, fhir):
    own = create(fhir)
    app = site.client("patient/*.cruds", role="CLINICIAN", patient=own)
    answer = app.put("/Observation/chosen-by-app", json=observation(f"Patient/{own}", id="chosen-by-app"))
    assert answer.status_code == 404


def test_fhir_U3_a_stale_if_match_is_412_and_nothing_is_written(fhir):
    key = create(fhir)
    body = patient("Other", id=key)
    assert fhir.put(f"/Patient/{key}", json=body, headers={"If-Match": 'W/"1"'}).status_code == 200
    answer = fhir.put(f"/Patient/{key}", json=patient("Third", id=key), headers={"If-Match": 'W/"1"'})
    assert (answer.status_code, issues(answer)[0]["code"]) == (412, "conflict")
    assert fhir.get(f"/Patient/{key}").headers["etag"] == 'W/"2"'


def test_fhir_U3_if_match_any_demands_that_it_exists(fhir):
    assert fhir.put("/Patient/absent", json=patient(id="absent"), headers={"If-Match": "*"}).status_code == 412
    assert fhir.put("/Patient/absent", json=patient(id="absent"), headers={"If-Match": 'W/"1"'}).status_code == 412
    key = create(fhir)
    assert fhir.put(f"/Patient/{key}", json=patient("x", id=key), headers={"If-Match": "*"}).status_code == 200


def test_fhir_U3_of_many_writers_with_the_same_if_match_exactly_one_wins(fhir):
    key = create(fhir)

    def write(number):
        return fhir.put(f"/Patient/{key}", json=patient(f"Writer{number}", id=key), headers={"If-Match": 'W/"1"'})

    with ThreadPoolExecutor(8) as pool:
        statuses = [answer.status_code for answer in pool.map(write, range(12))]
    assert sorted(statuses) == [200] + [412] * 11
    assert fhir.get(f"/Patient/{key}").headers["etag"] == 'W/"2"'


def test_two_writers_without_if_match_both_get_a_version(fhir):
    key = create(fhir)
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda n: fhir.put(f"/Patient/{key}", json=patient(f"W{n}", id=key)), range(6)))
    assert sorted(answer.headers["etag"] for answer in answers) == [f'W/"{version}"' for version in range(2, 8)]


def test_fhir_U4_the_same_content_makes_no_new_version(fhir):
    key = create(fhir)
    answer = fhir.put(f"/Patient/{key}", json=patient(id=key))
    assert (answer.status_code, answer.headers["etag"]) == (200, 'W/"1"')


def test_fhir_U5_tags_of_the_earlier_version_stay(fhir):
    old, new = ({"system": "http://example.org/tags", "code": code} for code in "ab")
    key = create(fhir, meta={"tag": [old]})
    answer = fhir.put(f"/Patient/{key}", json=patient("Other", id=key, meta={"tag": [new]}))
    assert {tag["code"] for tag in answer.json()["meta"]["tag"]} == {"a", "b"}


def test_fhir_X1_delete_is_204_again_and_for_what_never_was(fhir):
    key = create(fhir)
    assert [fhir.delete(f"/Patient/{one}").status_code for one in (key, key, "never-was")] == [204, 204, 204]
    assert fhir.get(f"/Patient/{key}").status_code == 410
    assert fhir.get(f"/Patient?_id={key}").json()["total"] == 0


def test_fhir_X1_an_outcome_comes_for_who_prefers_it(fhir):
    answer = fhir.delete(f"/Patient/{create(fhir)}", headers={"Prefer": "return=OperationOutcome"})
    assert answer.status_code == 200
    assert issues(answer)[0]["severity"] == "information"


def test_fhir_X2_what_others_refer_to_is_not_deleted(fhir):
    key = create(fhir)
    referrer = fhir.post("/Observation", json=observation(f"Patient/{key}")).json()["id"]
    answer = fhir.delete(f"/Patient/{key}")
    assert (answer.status_code, issues(answer)[0]["code"]) == (409, "conflict")
    assert f"Observation/{referrer}" in issues(answer)[0]["diagnostics"]
    fhir.delete(f"/Observation/{referrer}")
    assert fhir.delete(f"/Patient/{key}").status_code == 204


def test_fhir_X3_delete_honours_if_match(fhir):
    key = create(fhir)
    assert fhir.delete(f"/Patient/{key}", headers={"If-Match": 'W/"2"'}).status_code == 412
    assert fhir.delete(f"/Patient/{key}", headers={"If-Match": 'W/"1"'}).status_code == 204


def test_a_patient_app_writes_into_its_own_compartment_only(site, fhir):
    own, other = create(fhir), create(fhir)
    app = site.client("patient/*.cruds", role="CLINICIAN", patient=own)
    assert app.post("/Observation", json=observation(f"Patient/{own}")).status_code == 201
    assert app.post("/Observation", json=observation(f"Patient/{other}")).status_code == 403
    foreign = fhir.post("/Observation", json=observation(f"Patient/{other}")).json()["id"]
    assert app.put(f"/Observation/{foreign}", json=observation(f"Patient/{own}", id=foreign)).status_code == 404
    assert app.delete(f"/Observation/{foreign}").status_code == 204
    assert fhir.get(f"/Observation/{foreign}").status_code == 200


def test_a_search_by_post_takes_form_and_query(fhir):
    create(fhir, family="Formgiver", gender="female")
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    both = fhir.post("/Patient/_search?gender=female", content="name=Formg", headers=form)
    assert both.json()["total"] == 1
    assert fhir.post("/Patient/_search?gender=male", content="name=Formg", headers=form).json()["total"] == 0
    assert fhir.post("/Patient/_search", content="_format=xml", headers=form).status_code == 406
    assert fhir.post("/Patient/_search", json={"name": "x"}).status_code == 415


def test_an_unknown_parameter_is_left_out_and_told_about(fhir, site):
    create(fhir, family="Lenient")
    bundle = fhir.get("/Patient?name=Lenient&unheard-of=1").json()
    assert bundle["total"] == 1
    outcome = bundle["entry"][-1]
    assert outcome["search"]["mode"] == "outcome"
    assert outcome["resource"]["issue"][0]["severity"] == "warning"
    assert "unheard-of" not in bundle["link"][0]["url"]
    assert bundle["entry"][0]["fullUrl"].startswith(f"{site.base}/Patient/")


def test_next_links_lead_through_all_pages(fhir):
    keys = {create(fhir, family="Paged") for _ in range(5)}
    seen, url = [], "/Patient?name=Paged&_count=2"
    while url:
        bundle = fhir.get(url).json()
        seen += [entry["resource"]["id"] for entry in bundle["entry"]]
        url = next((link["url"] for link in bundle["link"] if link["relation"] == "next"), None)
    assert len(seen) == 5
    assert set(seen) == keys

"""batch and transaction (FHIR R4 http.html#transaction, #trules; fhir_rest §10)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.site import issues, observation, patient

SYSTEM = "http://example.org/mrn"
URN = "urn:uuid:61ebe359-bfdc-4613-8bf2-c5e300945f0{}".format


def bundle(kind, *entries):
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


def entry(method, url, resource=None, full_url=None, **conditions):
    made = {"request": {"method": method, "url": url, **conditions}}
    if resource is not None:
        made["resource"] = resource
    if full_url is not None:
        made["fullUrl"] = full_url
    return made


def key_of(response_entry):
    return "/".join(response_entry["response"]["location"].split("/")[:2])


def total(fhir, query):
    return fhir.get(f"/{query}{'&' if '?' in query else '?'}_summary=count").json()["total"]


@pytest.mark.parametrize("kind", ["batch", "transaction"])
def test_fhir_B1_the_answer_has_an_entry_for_each_in_the_order_of_the_request(fhir, kind):
    answer = fhir.post(
        "/",
        json=bundle(
            kind,
            entry("GET", "Patient?name=nobody-of-this-name"),
            entry("PUT", f"Patient/b1-{kind}", patient(id=f"b1-{kind}")),
            entry("POST", "Patient", patient("B1")),
            entry("DELETE", "Patient/not-there"),
        ),
    )
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["type"] == f"{kind}-response"
    assert [each["response"]["status"] for each in body["entry"]] == ["200", "201", "201", "204"]
    searched, put, posted, _ = body["entry"]
    assert searched["resource"]["type"] == "searchset"
    assert put["response"]["location"] == f"Patient/b1-{kind}/_history/1"
    assert posted["response"]["etag"] == 'W/"1"'
    assert posted["response"]["lastModified"].endswith("Z")
    assert "resource" not in posted


@pytest.mark.parametrize("kind", ["batch", "transaction"])
def test_fhir_B1_written_resources_are_sent_back_to_who_prefers_it(fhir, kind):
    answer = fhir.post(
        "/", json=bundle(kind, entry("POST", "Patient", patient("B1"))), headers={"Prefer": "return=representation"}
    )
    assert answer.json()["entry"][0]["resource"]["name"][0]["family"] == "B1"


def test_fhir_B2_entries_of_a_batch_stand_alone(fhir):
    answer = fhir.post(
        "/",
        json=bundle(
            "batch",
            entry("POST", "Patient", patient(gender="purple")),
            entry("POST", "Patient", patient("Survivor", identifier=[{"system": SYSTEM, "value": "b2"}])),
            entry("GET", "Patient/never"),
            entry("PATCH", "Patient/never/_history"),
            {"resource": patient()},
        ),
    )
    assert answer.status_code == 200
    responses = [each["response"] for each in answer.json()["entry"]]
    assert [each["status"] for each in responses] == ["422", "201", "404", "405", "400"]
    assert [each.get("outcome", {}).get("resourceType") for each in responses] == [
        "OperationOutcome",
        None,
        "OperationOutcome",
        "OperationOutcome",
        "OperationOutcome",
    ]
    assert responses[0]["outcome"]["issue"][0]["expression"] == ["Bundle.entry[0].resource.gender"]
    assert total(fhir, f"Patient?identifier={SYSTEM}|b2") == 1


def test_fhir_B2_references_between_entries_of_a_batch_are_not_resolved(fhir):
    answer = fhir.post(
        "/",
        json=bundle(
            "batch",
            entry("POST", "Patient", patient(), URN(1)),
            entry("POST", "Observation", observation(URN(1))),
        ),
        headers={"Prefer": "return=representation"},
    )
    second = answer.json()["entry"][1]
    assert second["response"]["status"] != "201" or second["resource"]["subject"]["reference"] == URN(1)


@pytest.mark.parametrize(
    ("bad", "status", "code", "place"),
    [
        (entry("POST", "Patient", patient(gender="purple")), 422, "code-invalid", "Bundle.entry[1].resource.gender"),
        (entry("POST", "Patient", patient(nothing=1)), 400, "structure", "Bundle.entry[1].resource"),
        (entry("PUT", "Patient/b3", patient(id="other")), 400, "invalid", "Bundle.entry[1].resource.id"),
        (entry("PUT", "Patient/b3", patient(id="b3"), ifMatch='W/"9"'), 412, "conflict", "Bundle.entry[1]"),
        (entry("GET", "Patient/never"), 404, "not-found", "Bundle.entry[1]"),
        (
            entry("POST", "Observation", observation(URN(9))),
            400,
            "not-found",
            "Bundle.entry[1].resource.subject.reference",
        ),
        (entry("POST", "Patient"), 400, "invalid", "Bundle.entry[1].resource"),
        (entry("POST", "Patient", observation()), 400, "invalid", "Bundle.entry[1].resource"),
    ],
)
def test_fhir_B3_a_transaction_is_all_or_nothing(fhir, bad, status, code, place):
    before = total(fhir, "Patient")
    answer = fhir.post("/", json=bundle("transaction", entry("POST", "Patient", patient("Half")), bad))
    assert (answer.status_code, issues(answer)[0]["code"]) == (status, code)
    assert issues(answer)[0]["expression"][0].startswith(place)
    assert total(fhir, "Patient") == before


def test_fhir_B3_others_see_nothing_of_a_transaction_before_its_end_and_then_all(site, fhir):
    """Whoever reads meanwhile finds none of it or all of it."""
    resource = {"resourceType": "Basic", "code": {"text": "x"}, "identifier": [{"system": SYSTEM, "value": "b3-seen"}]}
    entries = [entry("POST", "Basic", resource) for _ in range(1_500)]
    seen: list[int] = []
    other = site.client()
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(fhir.post, "/", json=bundle("transaction", *entries), timeout=60)
        while not writing.done():
            seen.append(total(other, f"Basic?identifier={SYSTEM}|b3-seen"))
    assert writing.result().status_code == 200
    seen.append(total(other, f"Basic?identifier={SYSTEM}|b3-seen"))
    assert set(seen) == {0, 1_500}
    assert seen == sorted(seen)


def test_fhir_B4_deletes_come_first_and_reads_last_whatever_the_order(fhir):
    identifier = [{"system": SYSTEM, "value": "b4"}]
    old = fhir.post("/Patient", json=patient("Old", identifier=identifier)).json()["id"]
    answer = fhir.post(
        "/",
        json=bundle(
            "transaction",
            entry("GET", f"Patient?identifier={SYSTEM}|b4"),
            entry("POST", "Patient", patient("New", identifier=identifier), ifNoneExist=f"identifier={SYSTEM}|b4"),
            entry("DELETE", f"Patient/{old}"),
        ),
    )
    assert answer.status_code == 200, answer.text
    searched, created, deleted = answer.json()["entry"]
    assert (created["response"]["status"], deleted["response"]["status"]) == ("201", "204")
    (found,) = searched["resource"]["entry"]
    assert found["resource"]["name"][0]["family"] == "New"


def test_fhir_B5_references_between_entries_are_rewritten_also_circular(fhir):
    answer = fhir.post(
        "/",
        json=bundle(
            "transaction",
            entry("POST", "Patient", patient("B5", managingOrganization={"reference": URN(2)}), URN(1)),
            entry(
                "POST",
                "Organization",
                {
                    "resourceType": "Organization",
                    "name": "B5",
                    "extension": [{"url": "http://example.org/first", "valueReference": {"reference": URN(1)}}],
                },
                URN(2),
            ),
            entry("POST", "Observation", observation(URN(1), performer=[{"reference": URN(2)}])),
        ),
    )
    assert answer.status_code == 200, answer.text
    person, organization, observed = (key_of(each) for each in answer.json()["entry"])
    assert fhir.get(f"/{person}").json()["managingOrganization"]["reference"] == organization
    assert fhir.get(f"/{organization}").json()["extension"][0]["valueReference"]["reference"] == person
    stored = fhir.get(f"/{observed}").json()
    assert stored["subject"]["reference"] == person
    assert stored["performer"][0]["reference"] == organization
    assert total(fhir, f"Observation?patient={person}") == 1


def test_fhir_B6_a_conditional_reference_is_resolved_to_the_one_match(fhir):
    npi = {"system": "http://hl7.org/fhir/sid/us-npi", "value": "9999b6"}
    practitioner = fhir.post("/Practitioner", json={"resourceType": "Practitioner", "identifier": [npi]}).json()["id"]
    query = f"Practitioner?identifier={npi['system']}|{npi['value']}"
    answer = fhir.post(
        "/",
        json=bundle(
            "transaction",
            entry("POST", "Patient", patient(generalPractitioner=[{"reference": query, "display": "Dr. Six"}])),
        ),
    )
    stored = fhir.get(f"/{key_of(answer.json()['entry'][0])}").json()
    assert stored["generalPractitioner"] == [{"reference": f"Practitioner/{practitioner}", "display": "Dr. Six"}]


def test_fhir_B6_a_conditional_reference_finds_what_the_same_transaction_creates(fhir):
    query = f"Practitioner?identifier={SYSTEM}|b6-new"
    practitioner = {"resourceType": "Practitioner", "identifier": [{"system": SYSTEM, "value": "b6-new"}]}
    answer = fhir.post(
        "/",
        json=bundle(
            "transaction",
            entry("POST", "Patient", patient(generalPractitioner=[{"reference": query}])),
            entry("POST", "Practitioner", practitioner),
        ),
    )
    assert answer.status_code == 200, answer.text
    person, doctor = (key_of(each) for each in answer.json()["entry"])
    assert fhir.get(f"/{person}").json()["generalPractitioner"][0]["reference"] == doctor


@pytest.mark.parametrize("matches", [0, 2])
def test_fhir_B6_no_match_or_several_fail_the_transaction(fhir, matches):
    for _ in range(matches):
        fhir.post(
            "/Practitioner", json={"resourceType": "Practitioner", "identifier": [{"system": SYSTEM, "value": "b6-2"}]}
        )
    query = f"Practitioner?identifier={SYSTEM}|b6-{matches}"
    answer = fhir.post(
        "/",
        json=bundle("transaction", entry("POST", "Patient", patient("B6", generalPractitioner=[{"reference": query}]))),
    )
    assert answer.status_code == 412
    assert issues(answer)[0]["expression"] == ["Bundle.entry[0].resource.generalPractitioner[0].reference"]


@pytest.mark.parametrize(
    "entries",
    [
        [entry("PUT", "Patient/b7", patient(id="b7")), entry("DELETE", "Patient/b7")],
        [entry("POST", "Patient", patient(), URN(1)), entry("POST", "Patient", patient(), URN(1))],
    ],
)
def test_fhir_B7_the_same_resource_twice_is_400(fhir, entries):
    answer = fhir.post("/", json=bundle("transaction", *entries))
    assert (answer.status_code, issues(answer)[0]["code"]) == (400, "duplicate")
    assert fhir.get("/Patient/b7").status_code == 404


@pytest.mark.parametrize(
    "second", ["identifier=%3A|b7&active=true", "active=true&identifier=:%7Cb7", "active=true&identifier=:|b7&"]
)
def test_fhir_B7_creates_under_one_condition_however_it_is_spelt_are_400(fhir, second):
    first = "identifier=:|b7&active=true"
    entries = [entry("POST", "Patient", patient(), ifNoneExist=each) for each in (first, second)]
    answer = fhir.post("/", json=bundle("transaction", *entries))
    assert (answer.status_code, issues(answer)[0]["code"]) == (400, "duplicate")
    assert issues(answer)[0]["expression"] == ["Bundle.entry[1].request.ifNoneExist"]


def test_fhir_B8_references_point_to_the_match_of_a_conditional_create(fhir):
    identifier = [{"system": SYSTEM, "value": "b8"}]
    existing = fhir.post("/Patient", json=patient("Known", identifier=identifier)).json()["id"]
    answer = fhir.post(
        "/",
        json=bundle(
            "transaction",
            entry(
                "POST",
                "Patient",
                patient("Unused", identifier=identifier),
                URN(1),
                ifNoneExist=f"identifier={SYSTEM}|b8",
            ),
            entry("POST", "Observation", observation(URN(1))),
        ),
    )
    matched, observed = answer.json()["entry"]
    assert matched["response"]["status"] == "200"
    assert key_of(matched) == f"Patient/{existing}"
    assert fhir.get(f"/{key_of(observed)}").json()["subject"]["reference"] == f"Patient/{existing}"
    assert fhir.get(f"/Patient/{existing}").json()["name"][0]["family"] == "Known"


def test_fhir_B8_conditions_of_entries_are_those_of_requests(fhir):
    key = fhir.post("/Patient", json=patient()).json()["id"]
    answer = fhir.post(
        "/",
        json=bundle(
            "batch",
            entry("PUT", f"Patient/{key}", patient("Two", id=key), ifMatch='W/"1"'),
            entry("PUT", f"Patient/{key}", patient("Three", id=key), ifMatch='W/"1"'),
            entry("GET", f"Patient/{key}", ifNoneMatch='W/"2"'),
        ),
    )
    assert [each["response"]["status"] for each in answer.json()["entry"]] == ["200", "412", "304"]


@pytest.mark.parametrize("kind", ["batch", "transaction"])
@pytest.mark.parametrize(
    ("bad", "element"),
    [
        (entry("PUT", "Patient/b9", observation(id="b9")), "resource"),
        (entry("PUT", "Patient/b9", patient(id="other")), "resource.id"),
        (entry("PUT", "Patient/b9", patient()), "resource.id"),
        (entry("PUT", "Patient/b9"), "resource"),
        (entry("POST", "Patient", "text"), "resource"),
        (entry("POST", "Patient", []), "resource"),
        ({"resource": patient()}, "request"),
        ({"resource": patient(), "request": []}, "request"),
        (entry("MERGE", "Patient"), "request.method"),
        (entry("GET", "metadata"), "request.url"),
        ("entry", "request"),
    ],
)
def test_fhir_B9_an_entry_that_does_not_fit_together_is_400(fhir, kind, bad, element):
    answer = fhir.post("/", json=bundle(kind, bad))
    if kind == "batch":
        response = answer.json()["entry"][0]["response"]
        status, found = response["status"], response["outcome"]["issue"]
    else:
        status, found = str(answer.status_code), issues(answer)
    assert status == "400", found
    place = "Bundle.entry[0]" if kind == "batch" else f"Bundle.entry[0].{element}"
    assert found[0]["expression"][0].startswith(place)
    assert fhir.get("/Patient/b9").status_code == 404


@pytest.mark.parametrize("url", ["http://elsewhere.org/fhir/Patient/1", "/Patient/1", "Patient/../Patient/1", ""])
def test_fhir_B9_an_entry_reaches_nothing_outside_the_base(fhir, url):
    answer = fhir.post("/", json=bundle("transaction", entry("GET", url)))
    assert answer.status_code == 400
    assert issues(answer)[0]["expression"] == ["Bundle.entry[0].request.url"]


def test_fhir_B10_reads_see_the_result_of_the_transaction(fhir):
    answer = fhir.post(
        "/",
        json=bundle(
            "transaction",
            entry("GET", "Patient/b10"),
            entry("PUT", "Patient/b10", patient("Fresh", id="b10")),
            entry("GET", "Patient/b10/_history"),
            entry("GET", "Patient?_id=b10"),
        ),
    )
    assert answer.status_code == 200, answer.text
    read, _, history, searched = answer.json()["entry"]
    assert read["resource"]["name"][0]["family"] == "Fresh"
    assert history["resource"]["total"] == searched["resource"]["total"] == 1


READS = [
    ("Patient/{id}/_history", "history"),
    ("Patient/_history?_count=2", "history"),
    ("_history?_count=2", "history"),
    ("Patient?_id={id}", "searchset"),
    ("?_type=Patient,Observation&_id={id}", "searchset"),
    ("Patient/{id}/Observation", "searchset"),
    ("Patient/{id}/*?_count=5", "searchset"),
    ("Patient/{id}/$everything", "searchset"),
    ("Observation/$lastn?patient={id}&code=29463-7", "searchset"),
    ("Patient/{id}/_history/1", "Patient"),
]


@pytest.mark.parametrize("kind", ["batch", "transaction"])
def test_fhir_B10_every_kind_of_read_may_be_an_entry(fhir, kind):
    key = fhir.post("/Patient", json=patient("B10")).json()["id"]
    fhir.post("/Observation", json=observation(f"Patient/{key}", effectiveDateTime="2024-01-01"))
    entries = [entry("GET", url.format(id=key)) for url, _ in READS]
    entries += [entry("POST", "Patient/_search?_id=" + key), entry("POST", "_search?_type=Patient&_id=" + key)]
    answer = fhir.post("/", json=bundle(kind, *entries))
    assert answer.status_code == 200, answer.text
    found = [each["resource"] for each in answer.json()["entry"]]
    assert [each.get("type", each["resourceType"]) for each in found] == [shown for _, shown in READS] + [
        "searchset"
    ] * 2
    for each, (url, shown) in zip(found, READS, strict=False):
        if shown == "searchset":
            assert each["entry"], url
    assert [each["total"] for each in found[-2:]] == [1, 1]


@pytest.mark.parametrize("kind", ["batch", "transaction"])
def test_fhir_B10_operations_by_post_take_the_resource_of_their_entry(fhir, kind):
    key = fhir.post("/Patient", json=patient()).json()["id"]
    fhir.post("/Observation", json=observation(f"Patient/{key}", effectiveDateTime="2024-01-01"))
    call = {
        "resourceType": "Parameters",
        "parameter": [{"name": "patient", "valueString": key}, {"name": "code", "valueString": "29463-7"}],
    }
    checked = entry("POST", "Patient/$validate", patient(gender="purple"))
    answer = fhir.post("/", json=bundle(kind, entry("POST", "Observation/$lastn", call), checked))
    assert answer.status_code == 200, answer.text
    newest, outcome = (each["resource"] for each in answer.json()["entry"])
    assert len(newest["entry"]) == 1
    assert outcome["issue"][0]["code"] == "code-invalid"


def test_fhir_B10_what_changes_something_and_could_not_be_undone_is_no_entry_of_a_transaction(fhir):
    key = fhir.post("/Patient", json=patient()).json()["id"]
    meta = {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": {"tag": [{"code": "b10"}]}}]}
    call = entry("POST", f"Patient/{key}/$meta-add", meta)
    together = fhir.post("/", json=bundle("transaction", call))
    assert (together.status_code, issues(together)[0]["expression"]) == (400, ["Bundle.entry[0].request.url"])
    assert "tag" not in fhir.get(f"/Patient/{key}").json()["meta"]
    alone = fhir.post("/", json=bundle("batch", call)).json()["entry"][0]
    assert alone["response"]["status"] == "200"
    assert fhir.get(f"/Patient/{key}").json()["meta"]["tag"] == [{"code": "b10"}]


@pytest.mark.parametrize("kind", ["batch", "transaction"])
def test_fhir_B10_head_is_get_without_the_resource(fhir, kind):
    key = fhir.post("/Patient", json=patient()).json()["id"]
    (read,) = fhir.post("/", json=bundle(kind, entry("HEAD", f"Patient/{key}"))).json()["entry"]
    assert (read["response"]["status"], read["response"]["etag"]) == ("200", 'W/"1"')
    assert "resource" not in read
    absent = fhir.post("/", json=bundle(kind, entry("HEAD", "Patient/never")))
    if kind == "batch":
        (read,) = absent.json()["entry"]
        assert (read["response"]["status"], "outcome" in read["response"]) == ("404", True)
    else:
        assert absent.status_code == 404


def test_fhir_B11_transactions_that_meet_are_run_again_until_each_is_through(fhir):
    keys = [f"b11-{number}" for number in range(4)]

    def write(turn):
        ordered = keys if turn % 2 else keys[::-1]
        entries = [entry("PUT", f"Patient/{key}", patient(f"Turn{turn}", id=key)) for key in ordered]
        return fhir.post("/", json=bundle("transaction", *entries)).status_code

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(write, range(12))) == {200}
    families = {fhir.get(f"/Patient/{key}").json()["name"][0]["family"] for key in keys}
    assert len(families) == 1


def test_fhir_B12_a_transaction_of_many_entries_raises_each_version_by_one(fhir):
    entries = [entry("POST", "Observation", observation("Patient/b12", valueString=str(n))) for n in range(300)]
    answer = fhir.post("/", json=bundle("transaction", *entries))
    assert {each["response"]["etag"] for each in answer.json()["entry"]} == {'W/"1"'}
    assert total(fhir, "Observation?subject=Patient/b12") == 300


def test_fhir_B12_five_thousand_entries_with_circular_references_are_one_transaction(fhir):
    urns = [f"urn:uuid:61ebe359-bfdc-4613-8bf2-{number:012x}" for number in range(5_000)]
    entries = [
        entry(
            "POST",
            "Basic",
            {
                "resourceType": "Basic",
                "code": {"text": "x"},
                "identifier": [{"system": SYSTEM, "value": "b12"}],
                "subject": {"reference": urns[number - 1]},
            },
            urn,
        )
        for number, urn in enumerate(urns)
    ]
    answer = fhir.post("/", json=bundle("transaction", *entries), timeout=120)
    assert answer.status_code == 200, answer.text[:500]
    keys = [key_of(each) for each in answer.json()["entry"]]
    assert len(set(keys)) == 5_000
    for number in (0, 1, 4_999):
        assert fhir.get(f"/{keys[number]}").json()["subject"]["reference"] == keys[number - 1]
    assert total(fhir, f"Basic?identifier={SYSTEM}|b12") == 5_000


def test_fhir_B12_more_than_the_limit_of_entries_is_413(fhir):
    answer = fhir.post("/", json=bundle("batch", *[entry("GET", "Patient/1")] * 5_001))
    assert (answer.status_code, issues(answer)[0]["code"]) == (413, "too-costly")


@pytest.mark.parametrize("kind", ["batch", "transaction"])
def test_fhir_B14_an_empty_bundle_gets_an_empty_answer(fhir, kind):
    answer = fhir.post("/", json={"resourceType": "Bundle", "type": kind})
    assert (answer.status_code, answer.json()) == (200, {"resourceType": "Bundle", "type": f"{kind}-response"})


def test_the_base_is_served_with_and_without_a_slash(fhir, site):
    for url in (site.base, f"{site.base}/"):
        assert fhir.post(url, json={"resourceType": "Bundle", "type": "batch"}).status_code == 200


@pytest.mark.parametrize("body", [bundle("document"), bundle("collection"), patient(), {"resourceType": "Bundle"}])
def test_fhir_B14_other_bundles_cannot_be_posted_to_the_base(fhir, body):
    assert fhir.post("/", json=body).status_code == 400


def test_fhir_B14_a_bundle_posted_to_its_type_is_stored(fhir):
    body = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": patient("Kept")}]}
    created = fhir.post("/Bundle", json=body)
    assert created.status_code == 201
    assert fhir.get(f"/Bundle/{created.json()['id']}").json()["entry"][0]["resource"]["name"][0]["family"] == "Kept"


def test_an_entry_that_the_token_does_not_allow_fails_alone_in_a_batch_and_all_in_a_transaction(site, fhir):
    key = fhir.post("/Patient", json=patient()).json()["id"]
    app = site.client("system/Patient.r")
    entries = [entry("GET", f"Patient/{key}"), entry("POST", "Patient", patient())]
    alone = app.post("/", json=bundle("batch", *entries))
    assert [each["response"]["status"] for each in alone.json()["entry"]] == ["200", "403"]
    together = app.post("/", json=bundle("transaction", *entries))
    assert together.status_code == 403
    assert issues(together)[0]["expression"] == ["Bundle.entry[1]"]

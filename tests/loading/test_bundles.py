"""`fhir-server load` of Bundles (settled §3.7): ids are kept, references rewritten, twice changes nothing."""

from __future__ import annotations

from uuid import uuid4

import pytest

from tests.loading.conftest import Loading, bundle, observation, patient, post


def without_id(resource: dict) -> dict:
    return {name: value for name, value in resource.items() if name != "id"}


async def test_a_posted_resource_keeps_its_id_and_urn_uuids_become_references(loading: Loading):
    loading.file(
        "t.json",
        bundle(
            "transaction",
            post(observation(subject="urn:uuid:11111111-0000-4000-8000-000000000001"), "urn:uuid:" + str(uuid4())),
            post(patient("kept"), "urn:uuid:11111111-0000-4000-8000-000000000001"),
        ),
    )
    summary = await loading.load_twice()
    assert summary.refused == []
    assert (await loading.read("Observation/o1"))["subject"]["reference"] == "Patient/kept"
    assert (await loading.read("Patient/kept"))["meta"]["versionId"] == "1"


async def test_a_resource_without_id_takes_that_of_its_fullUrl_or_one_made_of_its_content(loading: Loading):
    own = "22222222-0000-4000-8000-000000000002"
    loading.file(
        "t.json",
        bundle("transaction", post(without_id(patient()), f"urn:uuid:{own}"), post(without_id(observation()))),
    )
    await loading.load_twice()
    names = await loading.versions()
    assert f"Patient/{own}" in names
    assert len([name for name in names if name.startswith("Observation/")]) == 1


async def test_a_put_without_id_takes_that_of_its_address(loading: Loading):
    put = {"resource": without_id(patient()), "request": {"method": "PUT", "url": "Patient/of-url"}}
    loading.file("t.json", bundle("transaction", put))
    await loading.load_twice()
    assert await loading.read("Patient/of-url")


async def test_references_by_absolute_fullUrl_are_rewritten_too(loading: Loading):
    other = "http://old.example/fhir/Patient/p1"
    loading.file(
        "t.json",
        bundle("collection", {"fullUrl": other, "resource": patient()}, {"resource": observation(subject=other)}),
    )
    await loading.load_twice()
    assert (await loading.read("Observation/o1"))["subject"]["reference"] == "Patient/p1"


@pytest.mark.parametrize("kind", ["transaction", "batch", "collection", "searchset"])
async def test_the_resources_of_a_bundle_are_loaded(loading: Loading, kind: str):
    loading.file("b.json", bundle(kind, {"resource": patient()}, {"resource": observation()}))
    summary = await loading.load_twice()
    assert {name: each.written for name, each in summary.resources.items()} == {"Patient": 1, "Observation": 1}


async def test_the_outcome_of_a_search_is_nothing_to_load(loading: Loading):
    outcome = {"resourceType": "OperationOutcome", "issue": [{"severity": "warning", "code": "processing"}]}
    loading.file(
        "b.json",
        bundle("searchset", {"resource": patient()}, {"resource": outcome, "search": {"mode": "outcome"}}),
    )
    summary = await loading.load()
    assert (list(summary.resources), summary.refused) == (["Patient"], [])


async def test_a_document_is_a_resource_itself(loading: Loading):
    document = bundle("document", {"fullUrl": "urn:uuid:" + str(uuid4()), "resource": patient("inside")})
    document |= {"id": "d1", "identifier": {"system": "urn:x", "value": "1"}, "timestamp": "2026-01-01T00:00:00Z"}
    document["entry"].insert(
        0,
        {
            "fullUrl": "urn:uuid:" + str(uuid4()),
            "resource": {
                "resourceType": "Composition",
                "id": "co1",
                "status": "final",
                "type": {"text": "note"},
                "date": "2026-01-01",
                "author": [{"display": "Dr. A"}],
                "title": "Note",
            },
        },
    )
    loading.file("d.json", document)
    summary = await loading.load_twice()
    assert summary.refused == []
    assert "Bundle/d1" in await loading.versions()
    assert "Patient/inside" not in await loading.versions()


async def test_a_transaction_is_loaded_whole_or_not_at_all_and_other_files_go_on(loading: Loading):
    loading.file("bad.json", bundle("transaction", post(patient("p9")), post(observation(status="nonsense"))))
    loading.file("good.json", bundle("transaction", post(patient())))
    summary = await loading.load()
    assert set(await loading.versions()) == {"Patient/p1"}
    (refused,) = summary.refused
    assert (refused.source.endswith("bad.json"), refused.what) == (True, "the whole transaction")
    assert "Observation.status" in refused.reason
    assert summary.resources["Patient"].refused == 1
    assert summary.resources["Patient"].written == 1


async def test_a_urn_that_names_no_entry_refuses_the_transaction(loading: Loading):
    loading.file(
        "t.json", bundle("transaction", post(patient()), post(observation(subject="urn:uuid:" + str(uuid4()))))
    )
    summary = await loading.load()
    assert await loading.versions() == {}
    assert "Bundle.entry[1].resource.subject.reference names no entry" in summary.refused[0].reason


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"request": {"method": "DELETE", "url": "Patient/p2"}}, "only POST and PUT"),
        ({"request": {"method": "GET", "url": "Patient/p2"}}, "only POST and PUT"),
        ({"request": {"method": "POST", "url": "Patient"}}, "has no resource"),
        ({"resource": 7, "request": {"method": "POST", "url": "Patient"}}, "has no resource"),
        (7, "is an object"),
        (None, "is an object"),
        ({"resource": patient("p2"), "request": 7}, "request is an object"),
        ({"resource": patient("p2"), "fullUrl": 7}, "fullUrl a text"),
        ({"resource": patient("p2"), "request": {"method": "PUT", "url": 7}}, "conditional"),
        ({"resource": patient("p2"), "request": {"method": "PUT", "url": "Patient?name=x"}}, "conditional"),
        ({"resource": patient("p2"), "request": {"method": "PUT", "url": "Patient/p3"}}, "not that of request.url"),
        (post(without_id(patient()), ifNoneExist="identifier=1"), "conditional"),
        ({"resource": observation(subject="Patient?identifier=1")}, "is a search"),
        ({"resource": observation(subject="urn:uuid:" + str(uuid4()))}, "names no entry"),
        ({"resource": {"resourceType": "Dragon", "id": "d"}}, "Dragon"),
        ({"resource": {"id": "d"}}, "resourceType"),
        ({"resource": {"resourceType": 7, "id": 8}}, "resourceType"),
        ({"resource": {"resourceType": "Patient", "id": "no/slash"}}, "id"),
        ({"resource": {"resourceType": "Patient", "id": 8}}, "id"),
        ({"resource": {"resourceType": "Patient", "meta": 8}}, "meta"),
        ({"resource": {"resourceType": "Patient", "id": "p2", "colour": "red"}}, "colour"),
    ],
)
async def test_in_a_batch_the_entry_is_refused_with_its_reason_and_the_rest_goes_on(
    loading: Loading, entry: object, reason: str
):
    loading.file("b.json", bundle("batch", entry, post(patient())))
    summary = await loading.load()
    assert set(await loading.versions()) == {"Patient/p1"}
    (refused,) = summary.refused
    assert refused.what.startswith("Bundle.entry[0]")
    assert reason in refused.reason


@pytest.mark.parametrize("kind", ["transaction", "collection"])
async def test_entries_that_are_no_list_are_refused(loading: Loading, kind: str):
    loading.file("b.json", {"resourceType": "Bundle", "type": kind, "entry": {"resource": patient()}})
    assert "is a list" in (await loading.load()).refused[0].reason


async def test_what_is_new_in_a_file_is_written_and_the_rest_left_alone(loading: Loading):
    path = loading.file("b.json", bundle("collection", {"resource": patient()}, {"resource": observation()}))
    await loading.load()
    loading.file("b.json", bundle("collection", {"resource": patient(gender="female")}, {"resource": observation()}))
    summary = await loading.load(path)
    assert (summary.resources["Patient"].written, summary.resources["Observation"].unchanged) == (1, 1)
    assert await loading.versions() == {"Patient/p1": 2, "Observation/o1": 1}


async def test_large_decimals_and_trailing_zeros_come_back_as_they_were(loading: Loading):
    text = bundle("collection", {"resource": observation(valueQuantity={"value": 0})})
    import json

    loading.file("b.json", json.dumps(text).replace('"value": 0', '"value": 185.0'))
    await loading.load_twice()
    ((body,),) = await loading.sql("SELECT body FROM fhir_resources WHERE resource_type = 'Observation'")
    assert b'"value":185.0' in bytes(body)

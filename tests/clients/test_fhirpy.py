"""`fhirpy` does what its documentation shows, against the running server, with and without asyncio.

Its PATCH sends plain elements to be merged, which R4 does not have: that is refused, not guessed at.
"""

from __future__ import annotations

import pytest
from fhirpy import AsyncFHIRClient, SyncFHIRClient
from fhirpy.base.exceptions import MultipleResourcesFound, OperationOutcome, ResourceNotFound
from fhirpy.base.searchset import Raw


@pytest.fixture(scope="module")
def client(site):
    return SyncFHIRClient(site.base, authorization=f"Bearer {site.token()}")


@pytest.fixture(scope="module")
def people(client):
    """Three Johns, one Eva, and their clinic."""
    clinic = client.resource("Organization", name="Hospital", active=True)
    clinic.save()
    made = []
    for given, born in (("John", "1945-01-12"), ("John", "1950-05-01"), ("John", "1970-01-01"), ("Eva", "1946-01-01")):
        person = client.resource(
            "Patient",
            name=[{"given": [given], "family": "Moore"}],
            birthDate=born,
            address=[{"state": "TX", "city": "Austin"}],
            generalPractitioner=[clinic.to_reference()],
            active=True,
        )
        person.save()
        made.append(person)
    return made


async def test_clients_fhirpy_the_async_example(site, people):
    client = AsyncFHIRClient(site.base, authorization=f"Bearer {site.token()}")
    resources = client.resources("Patient").search(name="John").limit(10).sort("name")
    assert len(await resources.fetch()) == 3
    organization = client.resource("Organization", name="beda.software", active=False)
    await organization.save()
    organization["active"] = True
    await organization.save()
    assert organization.meta.versionId == "2"
    reference = client.reference("Organization", organization.id)
    assert (await reference.to_resource()).serialize()["active"] is True
    await organization.delete()
    with pytest.raises(ResourceNotFound):
        await reference.to_resource()
    names = [each.name[0].given[0] async for each in client.resources("Patient").search(family="Moore").limit(2)]
    assert sorted(names) == ["Eva", "John", "John", "John"]


@pytest.mark.parametrize(
    ("search", "count"),
    [
        ({"birthdate__gt": "1944", "birthdate__lt": "1964"}, 3),
        ({"name__contains": "oh"}, 3),
        ({"name": ["John", "Moore"]}, 3),
        ({"name": "John,Eva"}, 4),
        ({"family__exact": "Moore"}, 4),
        ({"family__exact": "moore"}, 0),
        ({"address_state": "TX"}, 4),
        ({"active": True}, 4),
        ({"gender__not": ["male", "female"]}, 4),
        ({"general_practitioner__Organization__name": "Hospital"}, 4),
    ],
)
def test_clients_fhirpy_searches(client, people, search, count):
    ids = {person.id for person in people}
    found = client.resources("Patient").search(**search).fetch_all()
    assert len([each for each in found if each.id in ids]) == count


def test_clients_fhirpy_raw_parameters_and_references(client, people):
    found = client.resources("Patient").search(Raw(**{"general-practitioner.name": "Hospital"})).fetch()
    assert len(found) == 4
    clinic = people[0].generalPractitioner[0]
    assert client.resources("Patient").search(general_practitioner=clinic).count() == 4


def test_clients_fhirpy_first_get_and_count(client, people):
    patients = client.resources("Patient")
    assert patients.search(name="Eva").first().id == people[3].id
    assert patients.search(name="nobody").first() is None
    assert patients.search(active=True, _id=people[0].id).get().id == people[0].id
    with pytest.raises(ResourceNotFound):
        patients.search(_id="never").get()
    with pytest.raises(MultipleResourcesFound):
        patients.search(name="John").get()
    assert patients.search(family="Moore").count() == 4
    assert [each.birthDate for each in patients.search(family="Moore").sort("-birthdate").fetch()] == [
        "1970-01-01",
        "1950-05-01",
        "1946-01-01",
        "1945-01-12",
    ]


def test_clients_fhirpy_elements(client, people):
    found = client.resources("Patient").search(family="Moore").elements("name", "telecom").fetch()
    assert all("birthDate" not in each and "name" in each for each in found)


def test_clients_fhirpy_includes(client, people):
    raw = client.resources("Patient").search(family="Moore").include("Patient", "general-practitioner").fetch_raw()
    assert {entry.resource.resourceType for entry in raw.entry} == {"Patient", "Organization"}
    everything = client.resources("Patient").search(family="Moore").include("*").fetch_raw()
    assert {entry.resource.resourceType for entry in everything.entry} == {"Patient", "Organization"}
    back = client.resources("Organization").search(name="Hospital").revinclude("Patient", "general-practitioner")
    assert len(back.fetch_raw().entry) == 5


def test_clients_fhirpy_conditional_update_and_delete(client):
    identifier = [{"system": "http://example.com/env", "value": "fhirpy"}]
    person = client.resource("Patient", identifier=identifier, active=False)
    matching = client.resources("Patient").search(identifier="http://example.com/env|fhirpy")
    made, created = matching.update(person)
    assert (created, made.active) == (True, False)
    again, created = matching.update(client.resource("Patient", identifier=identifier, active=True))
    assert (created, again.id, again.active) == (False, made.id, True)
    _, status = matching.delete()
    assert status in {200, 204}
    with pytest.raises(ResourceNotFound):
        made.refresh()


def test_clients_fhirpy_validates(client):
    assert client.resource("Patient", birthDate="1998-01-01").is_valid()
    wrong = client.resource("Patient", birthDate="date", custom_prop="123", telecom=True)
    assert not wrong.is_valid()
    with pytest.raises(OperationOutcome):
        wrong.is_valid(raise_exception=True)


def test_clients_fhirpy_executes_operations(client, people):
    record = people[0].execute("$everything", method="get")
    assert record.entry[0].resource.id == people[0].id
    bundle = {"resourceType": "Bundle", "type": "batch", "entry": [{"request": {"method": "GET", "url": "Patient"}}]}
    answer = client.execute("", method="post", data=bundle)
    assert (answer.type, answer.entry[0].response.status) == ("batch-response", "200")


def test_clients_fhirpy_merging_is_refused(client, people):
    with pytest.raises(OperationOutcome):
        people[0].patch(active=False)
    assert client.get("Patient", people[0].id)["active"] is True

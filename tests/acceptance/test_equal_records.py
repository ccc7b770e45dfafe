"""Two organizations whose rows have equal ids and record numbers never see each other (security TN-1, TN-2).

As `test_organizations`, with Patients and Observations that live in the care platform's tables, and with records of the
same people in all three systems, linked in one organization only.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mappers import systems
from storage.provenance import provenance_id
from storage.resources import ResourceKey
from tests.acceptance import test_organizations as plain
from tests.conftest import ORGANIZATION, OTHER_ORGANIZATION
from tests.site import Site, running_site
from tests.storage.people import People

NAMES = (ORGANIZATION, OTHER_ORGANIZATION)
RECORD = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MR"}]}
worlds = itertools.count(1)


class CareTenant(plain.Tenant):
    """A client of an organization whose patients are rows of the care platform."""

    def __init__(self, fhir: httpx.Client, number: int, which: int) -> None:
        super().__init__(fhir, number, which)
        self.organization = NAMES[which]

    def patient(self, slot: int) -> dict[str, Any]:
        """Every one becomes a row: record numbers are equal in the other organization, but not in the own."""
        value = f"{self.run}-{next(self.turns)}"
        number = {"type": RECORD, "system": systems.medical_record(self.organization), "value": value}
        made = super().patient(slot)
        return {**made, "identifier": [*made["identifier"], number], "birthDate": "1970-01-01"}

    def observation(self, subject: str) -> dict[str, Any]:
        return super().observation(subject) | {"effectiveDateTime": "2026-01-01T08:00:00Z"}


def moves(tenant: CareTenant, key: str, subject: str) -> bool:
    """Say whether a write would give an Observation to another Patient: a row does not change hands (settled §1.9)."""
    kept = tenant.kept.get(key, plain.Kept())
    return any(version is not None and version["subject"]["reference"] != subject for version in kept.versions)


def put_observation(tenant: CareTenant, slot: int, other: int) -> None:
    key, subject = tenant.key("Observation", slot), tenant.key("Patient", other)
    if not moves(tenant, key, subject):
        plain.put_observation(tenant, slot, other)


def refer_by_condition(tenant: CareTenant, slot: int, other: int) -> None:
    there = tenant.named(other)
    if len(there) != 1 or not moves(tenant, tenant.key("Observation", slot), *there):
        plain.refer_by_condition(tenant, slot, other)


ACTS = [
    {plain.put_observation: put_observation, plain.refer_by_condition: refer_by_condition}.get(act, act)
    for act in plain.ACTS
]
step = st.tuples(
    st.sampled_from([0, 1]), st.sampled_from(ACTS), st.sampled_from(plain.SLOTS), st.sampled_from(plain.SLOTS)
)


@pytest.fixture(scope="module")
def care_site(database_url: str) -> Iterator[Site]:
    """A running server whose organizations have the care platform for their patients."""
    People(database_url, ORGANIZATION).sql("UPDATE organizations SET home_system = 'care'")
    with running_site(database_url) as made:
        yield made


@pytest.fixture(scope="module")
def clients(care_site: Site) -> tuple[httpx.Client, httpx.Client]:
    """A client of each organization."""
    return care_site.client(organization=ORGANIZATION), care_site.client(organization=OTHER_ORGANIZATION)


@settings(max_examples=15, deadline=None)
@given(st.lists(step, min_size=10, max_size=30))
def test_TN_rows_with_equal_ids_and_record_numbers_are_found_as_if_there_were_no_other(clients, steps):
    number = next(worlds)
    tenants = [CareTenant(fhir, number, which) for which, fhir in enumerate(clients)]
    for which, act, slot, other in steps:
        act(tenants[which], slot, other)
    for tenant in tenants:
        for slot in plain.SLOTS:
            for look in (plain.search, plain.search_by_chain, plain.search_with_includes):
                look(tenant, slot, 0)
            for other in plain.SLOTS:
                plain.history(tenant, slot, other)


def test_such_patients_are_rows_of_both_organizations(clients, database_url: str):
    number = next(worlds)
    for which, fhir in enumerate(clients):
        tenant = CareTenant(fhir, number, which)
        plain.put_patient(tenant, 0, 0)
        plain.put_observation(tenant, 0, 0)
        people = People(database_url, tenant.organization)
        key = f"{tenant.run}-0"
        assert people.count("patients", id=key, medical_record_number=key) == 1
        assert people.count("observations", id=key, patient_id=key) == 1


# --- people with records in all three systems ------------------------------------------------------------------------

KEYS = ("same-c", "same-p", "same-f", "same-g")


def tell(people: People, word: str) -> None:
    """Write the records of one person, with ids that the other organization has as well."""
    people.customer("same-c", login="same-user", first_name=word, last_name="Same")
    people.patient("same-p", "same-number", first_name=word, last_name="Same")
    people.profile("same-f", f"user-{people.organization}", "mother", name=f"{word} Same")
    people.profile("same-g", f"user-{people.organization}", "child", name=f"{word} Same")
    people.connection("same-f", "epic", "same-emr-id")
    people.connection("same-g", "epic", "same-emr-id")


def told(fhir: httpx.Client) -> dict[str, str]:
    """Return everything that a client is answered about the person, by request."""
    paths = [
        *(f"/Patient/{key}{rest}" for key in KEYS for rest in ("", "/_history", "/_history/1", "/$everything")),
        *(
            f"/Patient/{key}{rest}"
            for key in KEYS
            for rest in ("/$lineage", "/$meta", "/$validate", "/*?_type=Patient")
        ),
        *(f"/Patient/{key}/$everything?_at=2100-01-01&_revinclude=Provenance:target" for key in KEYS),
        *(f"/Provenance?target=Patient/{key}" for key in KEYS),
        *(f"/Provenance/{provenance_id(ResourceKey('Patient', key), 1)}" for key in KEYS),
        "/?_type=Patient&_id=same-c,same-p,same-f,same-g&_sort=-_lastUpdated,_id&_elements=link",
        "/Patient?_id=same-c,same-p,same-f,same-g&_sort=-link&_total=accurate",
        "/Patient?_id=same-c,same-p,same-f,same-g&_sort=_id",
        "/Patient?family=same&_sort=_id&_total=accurate",
        "/Patient?name=same&_include=Patient:link&_sort=_id",
        *(f"/Patient?link=Patient/{key}&_sort=_id" for key in KEYS),
        *(f"/Patient?_id={key}&_revinclude=Patient:link" for key in KEYS),
        "/Patient?link.family=same&_sort=_id",
        "/Patient?_has:Patient:link:family=same&_sort=_id",
        "/Patient?identifier=same-emr-id&_sort=_id",
        "/Patient?identifier=same-number",
        "/Patient?identifier=same-user",
    ]
    return {path: fhir.get(path).text for path in paths}


def eventually(fhir: httpx.Client, key: str, links: set[str]) -> None:
    """Wait until a Patient has these links (ceiling 30 s)."""
    for _ in range(600):
        answer = fhir.get(f"/Patient/{key}")
        if answer.is_success:
            found = {each["other"]["reference"] for each in answer.json().get("link", ())}
            if found == {f"Patient/{other}" for other in links}:
                return
        time.sleep(0.05)
    raise AssertionError(f"{key} is not linked to {sorted(links)}: {answer.text}")


def batch(fhir: httpx.Client) -> str:
    """Return what a batch and a transaction with conditions answer about the person."""
    entries = [{"request": {"method": "GET", "url": f"Patient/{key}"}} for key in KEYS]
    entries += [{"request": {"method": "GET", "url": "Patient?link=Patient/same-p"}}]
    read = fhir.post("/", json={"resourceType": "Bundle", "type": "batch", "entry": entries})
    refer = {"resourceType": "Basic", "code": {"text": "x"}, "subject": {"reference": "Patient?identifier=same-number"}}
    entry = {"request": {"method": "POST", "url": "Basic"}, "resource": refer}
    made = fhir.post("/", json={"resourceType": "Bundle", "type": "transaction", "entry": [entry]})
    assert made.is_success, made.text
    again = fhir.post(
        "/Basic",
        json={"resourceType": "Basic", "code": {"text": "x"}},
        headers={"If-None-Exist": "subject=Patient/same-p"},
    )
    return read.text + again.text


def test_TN_links_of_one_organization_are_nothing_to_the_other(clients, database_url: str):
    own, other = clients
    words = dict(zip(NAMES, ("Quartz", "Basalt"), strict=True))
    here, there = (People(database_url, name) for name in NAMES)
    for people in (here, there):
        tell(people, words[people.organization])
    for fhir in clients:
        eventually(fhir, "same-f", {"same-g"})
        eventually(fhir, "same-g", {"same-f"})
        eventually(fhir, "same-c", set())
        eventually(fhir, "same-p", set())
    before = told(other)
    here.mapping("same-c", "care_patient_id", "care", "same-p")
    here.mapping("same-c", "patient_emr_id", "epic", "same-emr-id")
    for key in KEYS:
        eventually(own, key, {*KEYS} - {key})
    assert told(other) == before
    for fhir, foreign in ((own, words[OTHER_ORGANIZATION]), (other, words[ORGANIZATION])):
        answers = [*told(fhir).values(), batch(fhir)]
        assert not any(foreign in answer for answer in answers)
        assert any("Same" in answer for answer in answers)
    assert "seealso" in told(own)["/Patient/same-p"]
    assert "seealso" not in told(other)["/Patient/same-p"]
    here.sql(f"DELETE FROM identity_mappings WHERE organization_id = '{here.organization}'")
    eventually(own, "same-c", set())
    eventually(own, "same-f", {"same-g"})
    assert told(other) == before | {path: text for path, text in told(other).items() if "everything" in path}

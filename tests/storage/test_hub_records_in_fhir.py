"""What the health hub gathered, as FHIR clients find it: profiles, clean records and their sources (health_hub.md)."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from mappers import systems
from mappers.hub_rows import CleanRecord, EmrConnection, Profile
from storage.access import Access, Reach, Right, system_access
from storage.codec import content, decode, encode
from storage.engine import Database
from storage.errors import ReadOnlyHome, ResourceGone, ResourceNotFound
from storage.projection.flush import flush
from storage.projection.outbox import Projector
from storage.projection.places import Places
from storage.projection.reconcile import reconcile
from storage.repositories.entities import User
from storage.repositories.hub_entities import RawRecord, Tokens
from storage.repositories.hub_profiles import EmrConnectionRepository, HubProfileRepository
from storage.repositories.hub_records import CleanRepository, RawRepository
from storage.repositories.platform import UserRepository
from storage.resources import ResourceKey, Write
from storage.store import ResourceStore
from storage.transaction import Change
from tests.conftest import OTHER_ORGANIZATION
from tests.search.library import Library

HUB = OTHER_ORGANIZATION
ACCESS = system_access(HUB, "tester")
CHANGE = Change(actor="tester", client_id="tests", api="test")
PROFILE = Profile("laura", HUB, "user", "Me", "Laura M Bianchi", date(1974, 8, 9), "self")
EPIC = EmrConnection("c1", HUB, "laura", "epic", "erXuFY")
RECORDS: dict[str, dict[str, Any]] = {
    "hba1c": {
        "resourceType": "Observation",
        "id": "fC7",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "4548-4"}]},
        "subject": {"reference": "Patient/erXuFY"},
        "effectiveDateTime": "2025-09-25T13:12:00Z",
        "valueQuantity": {"value": Decimal("6.10"), "unit": "%"},
    },
    "lisinopril": {
        "resourceType": "MedicationRequest",
        "id": "eMedLis20",
        "status": "active",
        "intent": "order",
        "medicationReference": {"reference": "Medication/eKlisinopril20", "display": "lisinopril 20 mg"},
        "subject": {"reference": "Patient/erXuFY"},
    },
    "medication": {"resourceType": "Medication", "id": "eKlisinopril20", "code": {"text": "lisinopril 20 mg"}},
}


def raw(name: str) -> RawRecord:
    """The record as the provider sent it."""
    document = RECORDS[name]
    kind, key = document["resourceType"], document["id"]
    return RawRecord(f"raw-{name}", HUB, "laura", "epic", kind, key, encode(document))


def clean(name: str, document: Any = None) -> CleanRecord:
    """The record in the stage that is shown."""
    shown = RECORDS[name] if document is None else document
    sources = [{"provider": "epic", "raw_id": f"raw-{name}"}]
    return CleanRecord(name, HUB, "laura", RECORDS[name]["resourceType"], shown, sources)


class Hub:
    """A hub in which Laura has a profile and what her provider sent, and FHIR beside it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.store = ResourceStore(database, Places())
        self.library = Library(database, HUB)

    async def begin_with(self, *names: str, connected: bool = True) -> None:
        async with self.database.platform() as connection:
            await UserRepository(connection).insert(User("user", "laura@example.com"))
        async with self.database.begin(HUB, CHANGE) as unit:
            await HubProfileRepository(unit).insert(PROFILE)
            if connected:
                await EmrConnectionRepository(unit).connect(EPIC, Tokens("secret"))
            await RawRepository(unit).put([raw(name) for name in RECORDS])
            for name in names:
                await CleanRepository(unit).insert(clean(name))
        await self.settle()

    async def add(self, *rows: CleanRecord) -> None:
        async with self.database.begin(HUB, CHANGE) as unit:
            for row in rows:
                await CleanRepository(unit).insert(row)
        await self.settle()

    async def settle(self) -> None:
        """Let the background do what it has to."""
        await Projector(self.database).drain()

    async def read(self, name: str, access: Access = ACCESS) -> dict[str, Any]:
        return decode((await self.store.read(ResourceKey(*name.split("/")), access)).body)

    async def write(self, name: str, resource: dict[str, Any] | None) -> None:
        write = Write(ResourceKey(*name.split("/")), resource)
        await self.database.transact(HUB, CHANGE, lambda unit: self.store.write(unit, [write], ACCESS))
        await self.settle()

    async def provenance_of(self, name: str) -> str:
        (found,) = await self.library.ids(f"Provenance?target={name}")
        return found


@pytest.fixture
async def hub(fresh_database: Database) -> Hub:
    fresh_database.flush = flush
    await Projector(fresh_database).drain()
    return Hub(fresh_database)


def bound_to(patient: str) -> Access:
    """A person's app that may read everything of the person."""
    rights = dict.fromkeys(("Patient", "Observation", "Provenance"), dict.fromkeys(Right, Reach.COMPARTMENT))
    return Access(HUB, "someone", "PATIENT", "app", rights, patient=patient)


async def test_clean_records_are_found_by_what_they_say_and_are_the_person_s(hub: Hub) -> None:
    await hub.begin_with("hba1c")
    observation = await hub.read("Observation/hba1c")
    assert observation["subject"] == {"reference": "Patient/laura"}
    assert b'"value":6.10' in encode(observation)
    assert await hub.library.ids("Observation?patient=Patient/laura&code=http://loinc.org|4548-4") == ["hba1c"]
    assert await hub.library.ids("Observation?date=2025-09-25&value-quantity=gt6") == ["hba1c"]
    assert (await hub.read("Patient/laura", bound_to("laura")))["name"][0]["text"] == "Laura M Bianchi"
    assert await hub.read("Observation/hba1c", bound_to("laura")) == observation
    with pytest.raises(ResourceNotFound):
        await hub.read("Observation/hba1c", bound_to("somebody"))


async def test_the_sources_are_included_with_a_record_and_seen_by_the_person(hub: Hub) -> None:
    await hub.begin_with("hba1c")
    name = f"Provenance/{await hub.provenance_of('Observation/hba1c')}"
    included = await hub.library.included("Observation?_id=hba1c&_revinclude=Provenance:target", bound_to("laura"))
    assert included == {name}
    (entity,) = (await hub.read(name, bound_to("laura")))["entity"]
    assert entity["what"]["identifier"] == {"system": systems.emr_record("epic", "Observation"), "value": "fC7"}


async def test_clean_records_are_not_written_through_FHIR_and_say_where_they_are_made(hub: Hub) -> None:
    await hub.begin_with("hba1c")
    observation = await hub.read("Observation/hba1c")
    for name in ("Observation/hba1c", f"Provenance/{await hub.provenance_of('Observation/hba1c')}"):
        for written in ({**await hub.read(name), "language": "en"}, None):
            with pytest.raises(ReadOnlyHome, match=re.escape("/hub/profiles/{id}/sync")):
                await hub.write(name, written)
    assert await hub.read("Observation/hba1c") == observation


async def test_a_record_leads_to_another_one_that_came_with_it(hub: Hub) -> None:
    await hub.begin_with("lisinopril", "medication")
    reference = (await hub.read("MedicationRequest/lisinopril"))["medicationReference"]
    assert reference["reference"] == "Medication/medication"
    assert await hub.library.ids("MedicationRequest?medication=Medication/medication") == ["lisinopril"]


async def test_a_record_leads_to_another_one_as_soon_as_that_is_there_and_as_long(hub: Hub) -> None:
    await hub.begin_with("lisinopril")
    before = (await hub.read("MedicationRequest/lisinopril"))["medicationReference"]
    assert before == {
        "type": "Medication",
        "identifier": {"system": systems.emr_record("epic", "Medication"), "value": "eKlisinopril20"},
        "display": "lisinopril 20 mg",
    }
    await hub.add(clean("medication"))
    between = (await hub.read("MedicationRequest/lisinopril"))["medicationReference"]
    assert between == {"reference": "Medication/medication", "display": "lisinopril 20 mg"}
    async with hub.database.begin(HUB, CHANGE) as unit:
        await CleanRepository(unit).delete("medication")
    await hub.settle()
    assert (await hub.read("MedicationRequest/lisinopril"))["medicationReference"] == before
    with pytest.raises(ResourceGone):
        await hub.read("Medication/medication")
    assert (await reconcile(hub.database, HUB, fix=False)).agrees


async def test_records_that_say_what_they_said_get_no_new_version_when_another_one_comes(hub: Hub) -> None:
    await hub.begin_with("hba1c")
    await hub.add(clean("lisinopril"), clean("medication"))
    assert (await hub.read("Observation/hba1c"))["meta"]["versionId"] == "1"


async def test_a_connection_tells_whose_the_records_are(hub: Hub) -> None:
    await hub.begin_with("hba1c", connected=False)
    assert "reference" not in (await hub.read("Observation/hba1c"))["subject"]
    async with hub.database.begin(HUB, CHANGE) as unit:
        await EmrConnectionRepository(unit).connect(EPIC, Tokens("secret"))
    await hub.settle()
    assert (await hub.read("Observation/hba1c"))["subject"] == {"reference": "Patient/laura"}
    shown = (await hub.read("Patient/laura"))["identifier"]
    assert shown == [{"system": systems.emr_record("epic", "Patient"), "value": "erXuFY"}]
    assert (await reconcile(hub.database, HUB, fix=False)).agrees


async def test_a_document_that_is_no_such_resource_is_listed_and_blocks_nobody(hub: Hub) -> None:
    await hub.begin_with("hba1c")
    await hub.add(clean("medication", {"resourceType": "Condition"}), clean("lisinopril"))
    assert (await hub.read("MedicationRequest/lisinopril"))["status"] == "active"
    report = await reconcile(hub.database, HUB, fix=False)
    assert list(report.failures) == ["profile_fhir_resources_clean/medication"]


async def test_a_Patient_written_through_FHIR_changes_the_profile(hub: Hub) -> None:
    await hub.begin_with("hba1c")
    patient = await hub.read("Patient/laura")
    patient["name"][0] = {"use": "official", "family": "Rossi", "given": ["Laura"]}
    await hub.write("Patient/laura", patient)
    async with hub.database.begin(HUB, CHANGE) as unit:
        row = await HubProfileRepository(unit).get("laura")
    assert row.legal_name == "Laura Rossi"
    assert content(await hub.read("Patient/laura")) == content(patient)
    assert replace(row, legal_name=PROFILE.legal_name, created_at=None, profile_emr_connections=()) == PROFILE


async def test_a_new_Patient_is_native_in_the_hub(hub: Hub) -> None:
    await hub.begin_with()
    await hub.write("Patient/other", {"resourceType": "Patient", "id": "other", "name": [{"text": "Giulia"}]})
    async with hub.database.begin(HUB, CHANGE) as unit:
        assert await unit.connection.scalar(text("SELECT count(*) FROM profiles")) == 1


async def test_with_a_profile_go_its_resources(hub: Hub) -> None:
    await hub.begin_with("hba1c", "lisinopril")
    async with hub.database.begin(HUB, CHANGE) as unit:
        await HubProfileRepository(unit).delete("laura")
    await hub.settle()
    for name in ("Patient/laura", "Observation/hba1c", "MedicationRequest/lisinopril"):
        with pytest.raises(ResourceGone):
            await hub.read(name)
    assert await hub.library.ids("Provenance?") == []
    assert (await reconcile(hub.database, HUB, fix=False)).agrees

"""Patient.link follows the person's records, whoever writes them, within one organization only (settled §1.12)."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from mappers import systems
from storage.access import system_access
from storage.codec import decode
from storage.engine import Database
from storage.person_links import find_person_links
from storage.projection.flush import flush
from storage.projection.outbox import Projector
from storage.projection.places import Places
from storage.projection.reconcile import reconcile
from storage.resources import ResourceKey, Write
from storage.store import ResourceStore
from storage.tables.platform import organizations, person_links
from storage.transaction import Change
from tests.conftest import ORGANIZATION, OTHER_ORGANIZATION
from tests.storage.people import People

CHANGE = Change(actor="tester", client_id="tests", api="test")


class Shown(People):
    """People of an organization, and the Patients that show them."""

    def __init__(self, database: Database, url: str, organization: str) -> None:
        super().__init__(url, organization)
        self.database = database
        self.store = ResourceStore(database, Places())
        self.access = system_access(organization, "tester")

    async def settle(self) -> None:
        """Return when everything that was written is shown."""
        while await Projector(self.database).drain():
            pass

    async def read(self, key: str) -> dict[str, Any]:
        await self.settle()
        return decode((await self.store.read(ResourceKey("Patient", key), self.access)).body)

    async def links(self, key: str) -> list[str]:
        """Return the ids of the Patients that one is linked to."""
        shown = (await self.read(key)).get("link", [])
        assert all(each["type"] == "seealso" for each in shown)
        return [each["other"]["reference"].removeprefix("Patient/") for each in shown]

    async def version(self, key: str) -> str:
        return str((await self.read(key))["meta"]["versionId"])

    async def write(self, *resources: dict[str, Any]) -> None:
        writes = [Write(ResourceKey("Patient", each["id"]), each) for each in resources]
        await self.database.transact(
            self.organization, CHANGE, lambda unit: self.store.write(unit, writes, self.access)
        )

    async def delete(self, key: str) -> None:
        write = Write(ResourceKey("Patient", key), None)
        await self.database.transact(
            self.organization, CHANGE, lambda unit: self.store.write(unit, [write], self.access)
        )


@pytest.fixture
def people(fresh_database: Database, fresh_database_url: str) -> Shown:
    fresh_database.flush = flush
    return Shown(fresh_database, fresh_database_url, ORGANIZATION)


@pytest.fixture
def others(people: Shown) -> Shown:
    return Shown(people.database, people.url, OTHER_ORGANIZATION)


async def test_a_mapping_links_both_records_and_taking_it_away_unlinks_them(people: Shown):
    people.customer("c")
    people.patient("p")
    assert (await people.links("c"), await people.links("p")) == ([], [])
    people.mapping("c", "care_patient_id", "care", "p")
    assert (await people.links("c"), await people.links("p")) == (["p"], ["c"])
    people.sql("DELETE FROM identity_mappings")
    assert (await people.links("c"), await people.links("p")) == ([], [])


async def test_a_link_that_joins_two_groups_reaches_all_of_them(people: Shown):
    people.customer("c", login="user_1")
    people.profile("f", "user_1")
    people.patient("p", "1001")
    people.profile("g", "user_2", "child")
    people.connection("g", "epic", "e1")
    assert (await people.links("f"), await people.links("p"), await people.links("g")) == (["c"], [], [])
    people.mapping("c", "patient_emr_id", "epic", "e1")
    people.mapping("c", "medical_record_number", "care", "1001")
    assert await people.links("c") == ["p", "f", "g"]
    assert await people.links("p") == ["c", "f", "g"]
    assert await people.links("f") == ["c", "p", "g"]
    assert await people.links("g") == ["c", "p", "f"]
    people.sql("DELETE FROM identity_mappings WHERE external_system = 'epic'")
    assert (await people.links("p"), await people.links("g")) == (["c", "f"], [])


async def test_a_record_that_a_mapping_names_already_is_linked_when_it_arrives_and_when_it_goes(people: Shown):
    people.customer("c")
    people.mapping("c", "care_patient_id", "care", "p")
    assert await people.links("c") == []
    people.patient("p")
    assert (await people.links("c"), await people.links("p")) == (["p"], ["c"])
    people.sql("DELETE FROM patients")
    assert await people.links("c") == []


async def test_a_column_that_changes_changes_the_links(people: Shown):
    people.customer("c", login="user_1")
    people.profile("f", "user_1", "mother")
    people.patient("p", "1001")
    people.mapping("c", "mrn", "care", "1002")
    assert (await people.links("c"), await people.links("p")) == ([], [])
    people.sql("UPDATE profiles SET relationship = 'self'", "UPDATE patients SET medical_record_number = '1002'")
    assert await people.links("c") == ["p", "f"]
    assert await people.links("f") == ["c", "p"]


async def test_links_that_stay_as_they_are_make_no_version(people: Shown):
    people.customer("c")
    people.patient("p")
    people.mapping("c", "care_patient_id", "care", "p")
    before = await people.version("p")
    people.sql("UPDATE identity_mappings SET verified_at = '2026-01-01T00:00:00.000000Z'")
    people.sql("UPDATE customer_profiles SET last_name = 'Changed'")
    assert await people.version("p") == before
    findings = await reconcile(people.database, ORGANIZATION, fix=False)
    assert findings.agrees, findings.examples


async def in_care(people: Shown) -> None:
    """Make the organization one whose patients are the care platform's."""
    async with people.database.platform() as connection:
        await connection.execute(organizations.update().values(home_system="care"))


def written(key: str, number: str, **more: Any) -> dict[str, Any]:
    kind = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MR"}]}
    return {
        "resourceType": "Patient",
        "id": key,
        "identifier": [{"type": kind, "system": systems.medical_record(ORGANIZATION), "value": number}],
        "name": [{"use": "official", "family": "Quimby", "given": ["Ada"]}],
        "birthDate": "1970-01-01",
        **more,
    }


async def test_a_patient_written_through_fhir_is_linked_by_its_record_number(people: Shown):
    await in_care(people)
    people.customer("c")
    people.mapping("c", "medical_record_number", "care", "1001")
    await people.settle()
    await people.write(written("p", "1001"))
    assert (await people.links("p"), await people.links("c")) == (["c"], ["p"])
    await people.write(written("p", "1002", link=(await people.read("p"))["link"]))
    assert (await people.links("p"), await people.links("c")) == ([], [])
    await people.write(written("p", "1001"))
    assert await people.links("c") == ["p"]
    await people.delete("p")
    assert await people.links("c") == []


async def test_what_a_client_says_of_links_itself_is_kept(people: Shown):
    await in_care(people)
    own = {"other": {"reference": "Patient/older"}, "type": "replaces"}
    people.customer("c")
    people.mapping("c", "medical_record_number", "care", "1001")
    await people.settle()
    await people.write(written("p", "1001", link=[own]))
    shown = (await people.read("p"))["link"]
    assert own in shown
    assert {"other": {"reference": "Patient/c"}, "type": "seealso"} in shown


async def test_TN_equal_ids_and_numbers_of_two_organizations_are_linked_apart(people: Shown, others: Shown):
    for each in (people, others):
        each.customer("c", login="user_1")
        each.patient("p", "1001")
        each.profile("f", "user_1", "mother")
        each.connection("f", "epic", "e1")
    people.mapping("c", "care_patient_id", "care", "p")
    assert (await people.links("c"), await people.links("p")) == (["p"], ["c"])
    assert (await others.links("c"), await others.links("p"), await others.links("f")) == ([], [], [])
    versions = [await others.version(key) for key in ("c", "p", "f")]
    people.mapping("c", "epic", "epic", "e1")
    assert await people.links("f") == ["c", "p"]
    people.sql(f"DELETE FROM identity_mappings WHERE organization_id = '{ORGANIZATION}'")
    assert await people.links("f") == []
    assert [await others.version(key) for key in ("c", "p", "f")] == versions


# ---- across organizations: candidates for review --------------------------------------------------------------------


async def proposed(database: Database) -> list[tuple[str, str, str, str]]:
    columns = person_links.c
    async with database.platform() as connection:
        found = await connection.execute(
            select(
                columns.first_organization_id,
                columns.first_patient_id,
                columns.second_organization_id,
                columns.second_patient_id,
            ).order_by(columns.first_patient_id)
        )
        return [tuple(row) for row in found]


BOTH = [ORGANIZATION, OTHER_ORGANIZATION]


async def test_records_of_two_organizations_are_proposed_by_login_provider_and_named_record(
    people: Shown, others: Shown
):
    people.customer("c1", login="user_1")
    others.profile("f1", "user_1")
    people.customer("c2")
    people.mapping("c2", "patient_emr_id", "epic", "e1")
    others.profile("f2", "user_2", "child")
    others.connection("f2", "epic", "e1")
    people.customer("c3")
    people.mapping("c3", "care_patient_id", "care", "p3")
    others.patient("p3", "1001")
    await people.settle()
    found = await find_person_links(people.database, BOTH)
    assert found == {"login": 1, "patient_emr_id": 1, "patients": 1}
    expected = [("f1", "c1"), ("f2", "c2"), ("p3", "c3")]
    assert await proposed(people.database) == [
        (OTHER_ORGANIZATION, there, ORGANIZATION, here) for there, here in expected
    ]
    for key in ("c1", "c2", "c3"):
        assert await people.links(key) == []
    for key in ("f1", "f2", "p3"):
        assert await others.links(key) == []


async def test_TN_equal_ids_and_record_numbers_propose_nothing(people: Shown, others: Shown):
    for each in (people, others):
        each.customer("c", login=f"user-{each.organization}")
        each.patient("p", "1001")
        each.profile("f", f"user-{each.organization}")
        each.mapping("c", "mrn", "care", "1001")
    await people.settle()
    assert not await find_person_links(people.database, BOTH)
    assert await proposed(people.database) == []


async def test_looking_again_changes_nothing_and_takes_back_what_nothing_bears_out(people: Shown, others: Shown):
    people.customer("c1", login="user_1")
    people.customer("c2", login="user_2")
    others.profile("f1", "user_1")
    others.profile("f2", "user_2")
    await people.settle()
    await find_person_links(people.database, BOTH)
    before = await proposed(people.database)
    assert len(before) == 2
    async with people.database.platform() as connection:
        reviewed = person_links.update().where(person_links.c.first_patient_id == "f2").values(status="rejected")
        await connection.execute(reviewed)
    await find_person_links(people.database, BOTH)
    assert await proposed(people.database) == before
    people.sql("UPDATE customer_profiles SET external_id = external_id || 'x'")
    await people.settle()
    assert not await find_person_links(people.database, BOTH)
    assert await proposed(people.database) == before[1:]

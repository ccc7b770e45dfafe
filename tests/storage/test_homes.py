"""Homes of resources written through FHIR (mapping.md 'Who owns a resource', settled §1.2-1.5, §1.13)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select, text

from mappers import systems
from storage.access import system_access
from storage.codec import content, decode
from storage.engine import Database
from storage.errors import MappingRefused, ReadOnlyHome, ResourceGone
from storage.projection.flush import flush
from storage.projection.homes import report_homes
from storage.projection.outbox import Projector
from storage.projection.places import Places
from storage.projection.reconcile import reconcile
from storage.resources import ResourceKey, Write, Written
from storage.store import ResourceStore
from storage.tables import fhir
from storage.tables import patient_graph as tables
from storage.transaction import Change
from tests.conftest import ORGANIZATION

ACCESS = system_access(ORGANIZATION, "tester")
CHANGE = Change(actor="tester", client_id="tests", api="test")

CUSTOMER: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "c1",
    "identifier": [{"system": systems.LOGIN, "value": "user_1"}],
    "name": [{"use": "official", "family": "Doe", "given": ["Jane", "Q."]}],
    "telecom": [{"system": "email", "value": "jane@example.com"}, {"system": "phone", "value": "+1 212 555 1234"}],
    "gender": "female",
    "birthDate": "1985-06-15",
    "address": [{"city": "Boston"}],
    "extension": [{"url": "http://example.org/x", "valueDecimal": Decimal("1.10")}],
}
WEIGHT: dict[str, Any] = {
    "resourceType": "Observation",
    "id": "w1",
    "status": "final",
    "category": [{"coding": [{"system": systems.OBSERVATION_CATEGORY, "code": "vital-signs"}]}],
    "code": {"coding": [{"system": systems.LOINC, "code": "29463-7"}]},
    "subject": {"reference": "Patient/c1"},
    "effectiveDateTime": "2026-03-20T09:30:00-05:00",
    "valueQuantity": {"value": Decimal("61.50"), "unit": "kg", "system": systems.UCUM, "code": "kg"},
}


class World:
    """A store with helpers."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.store = ResourceStore(database, Places())

    async def write(self, *resources: dict[str, Any]) -> list[Written]:
        writes = [Write(ResourceKey(each["resourceType"], each["id"]), each) for each in resources]
        return await self.database.transact(ORGANIZATION, CHANGE, lambda unit: self.store.write(unit, writes, ACCESS))

    async def delete(self, name: str) -> None:
        write = Write(ResourceKey(*name.split("/")), None)
        await self.database.transact(ORGANIZATION, CHANGE, lambda unit: self.store.write(unit, [write], ACCESS))

    async def read(self, name: str) -> dict[str, Any]:
        return decode((await self.store.read(ResourceKey(*name.split("/")), ACCESS)).body)

    async def home(self, name: str) -> str | None:
        resource_type, id_ = name.split("/")
        columns = fhir.resources.c
        async with self.database.begin(ORGANIZATION, CHANGE) as unit:
            statement = select(columns.home_table).where(columns.resource_type == resource_type, columns.id == id_)
            return await unit.connection.scalar(statement)

    async def keys(self, resource_type: str) -> list[str]:
        columns = fhir.resources.c
        async with self.database.begin(ORGANIZATION, CHANGE) as unit:
            statement = select(columns.id).where(columns.resource_type == resource_type).order_by(columns.id)
            return list(await unit.connection.scalars(statement))

    async def rows(self, table: Any) -> list[Any]:
        async with self.database.begin(ORGANIZATION, CHANGE) as unit:
            return list((await unit.connection.execute(select(table))).mappings())

    async def sql(self, statement: str) -> None:
        """Change a row as the server's own APIs do not: behind FHIR, then project."""
        async with self.database.platform() as connection:
            if connection.dialect.name == "postgresql":
                await connection.execute(text(f"SELECT set_config('app.organization_id', '{ORGANIZATION}', true)"))
            await connection.execute(text(statement))
        await Projector(self.database).drain()


@pytest.fixture
async def world(fresh_database: Database) -> World:
    fresh_database.flush = flush
    await Projector(fresh_database).drain()
    return World(fresh_database)


def same(left: dict[str, Any], right: dict[str, Any]) -> bool:
    return content(left) == content(right)


async def test_map_L1_a_customer_written_through_fhir_becomes_a_row_and_comes_back_unchanged(world: World) -> None:
    await world.write(CUSTOMER)
    assert await world.home("Patient/c1") == "customer_profiles"
    (row,) = await world.rows(tables.customer_profiles)
    assert (row["external_id"], row["email"], row["first_name"]) == ("user_1", "jane@example.com", "Jane")
    assert same(await world.read("Patient/c1"), CUSTOMER)


async def test_map_L3_writing_back_what_was_read_changes_nothing(world: World) -> None:
    await world.write(CUSTOMER)
    (before,) = await world.rows(tables.customer_profiles)
    (written,) = await world.write(await world.read("Patient/c1"))
    (after,) = await world.rows(tables.customer_profiles)
    assert not written.changed
    assert after["updated_at"] == before["updated_at"]


async def test_map_L4_a_column_changed_behind_fhir_wins_and_the_rest_stays(world: World) -> None:
    await world.write(CUSTOMER)
    await world.sql("UPDATE customer_profiles SET first_name = 'Joan' WHERE id = 'c1'")
    shown = await world.read("Patient/c1")
    assert shown["name"][0]["given"][0] == "Joan"
    assert shown["address"] == CUSTOMER["address"]
    assert shown["meta"]["versionId"] == "2"


async def test_map_L4_an_element_changed_through_fhir_wins_over_the_column(world: World) -> None:
    await world.write(CUSTOMER)
    await world.write(CUSTOMER | {"birthDate": "1985-07"})
    (row,) = await world.rows(tables.customer_profiles)
    assert row["date_of_birth"] is None
    assert (await world.read("Patient/c1"))["birthDate"] == "1985-07"


async def test_map_a_patient_without_login_or_email_is_native_and_served_alike(world: World) -> None:
    plain = {"resourceType": "Patient", "id": "n1", "name": [{"family": "Nemo"}]}
    await world.write(plain)
    assert await world.home("Patient/n1") is None
    assert same(await world.read("Patient/n1"), plain)


async def test_map_a_native_patient_moves_into_a_row_when_an_update_fits(world: World) -> None:
    await world.write({"resourceType": "Patient", "id": "c1", "name": [{"family": "Nemo"}]})
    await world.write(CUSTOMER)
    assert await world.home("Patient/c1") == "customer_profiles"
    assert same(await world.read("Patient/c1"), CUSTOMER)
    assert await world.keys("Patient") == ["c1"]  # the row is shown once


async def test_map_a_row_never_becomes_native(world: World) -> None:
    await world.write(CUSTOMER)
    with pytest.raises(MappingRefused):
        await world.write(CUSTOMER | {"modifierExtension": [{"url": "http://example.org/m", "valueBoolean": True}]})
    assert await world.home("Patient/c1") == "customer_profiles"


async def test_map_a_taken_unique_column_makes_the_second_one_native(world: World) -> None:
    await world.write(CUSTOMER)
    twin = CUSTOMER | {"id": "c2"}
    await world.write(twin)
    assert await world.home("Patient/c2") is None
    assert same(await world.read("Patient/c2"), twin)


async def test_map_readings_of_a_customer_become_rows_with_their_digits(world: World) -> None:
    await world.write(WEIGHT, CUSTOMER)
    assert await world.home("Observation/w1") == "patient_wearable_readings"
    (row,) = await world.rows(tables.patient_wearable_readings)
    assert (str(row["value"]), row["unit"], row["data_type"]) == ("61.50", "kg", "weight")
    assert same(await world.read("Observation/w1"), WEIGHT)


async def test_map_the_subjects_home_decides(world: World) -> None:
    await world.write({"resourceType": "Patient", "id": "c1", "name": [{"family": "Nemo"}]}, WEIGHT)
    assert await world.home("Observation/w1") is None
    assert same(await world.read("Observation/w1"), WEIGHT)


async def test_map_superseded_readings_are_not_kept(world: World) -> None:
    await world.write(CUSTOMER, WEIGHT)
    await world.write(WEIGHT | {"valueQuantity": WEIGHT["valueQuantity"] | {"value": Decimal("62.0")}})
    async with world.database.begin(ORGANIZATION, CHANGE) as unit:
        kept = await unit.connection.execute(select(fhir.history.c.id).where(fhir.history.c.id == "w1"))
        assert kept.all() == []
    assert (await world.read("Observation/w1"))["meta"]["versionId"] == "2"


async def test_map_arrays_of_a_profile_show_and_are_read_only_where_the_mapper_says_so(world: World) -> None:
    await world.write(CUSTOMER)
    on_sqlite = world.database.dialect == "sqlite"
    value = "'[\"penicillin\"]'" if on_sqlite else "ARRAY['penicillin']"
    await world.sql(f"UPDATE customer_profiles SET allergies = {value} WHERE id = 'c1'")
    report = await report_homes(world.database, ORGANIZATION)
    assert report["AllergyIntolerance"].homes == {"customer_profiles": 1}


async def test_map_read_only_homes_are_refused_with_the_endpoint_that_changes_them(world: World) -> None:
    organization = await world.read(f"Organization/{ORGANIZATION}")
    with pytest.raises(ReadOnlyHome) as refused:
        await world.write(organization | {"name": "Other"})
    assert refused.value.endpoint
    with pytest.raises(ReadOnlyHome):
        await world.delete(f"Organization/{ORGANIZATION}")


async def test_map_deleting_a_customers_reading_deletes_the_row(world: World) -> None:
    await world.write(CUSTOMER, WEIGHT)
    await world.delete("Observation/w1")
    assert await world.rows(tables.patient_wearable_readings) == []
    with pytest.raises(ResourceGone):
        await world.read("Observation/w1")


async def test_map_deleting_a_customer_deletes_the_row_and_what_it_shows(world: World) -> None:
    await world.write(CUSTOMER)
    await world.delete("Patient/c1")
    assert await world.rows(tables.customer_profiles) == []
    assert (await reconcile(world.database, ORGANIZATION, fix=False)).agrees


TREATMENT = (
    "INSERT INTO subscriptions (organization_id, id, customer_id, product_id, product_name, status, clinician_id,"
    " clinician_name, metadata) VALUES ('loop-health', 't1', 'c1', 'sema', 'Semaglutide 0.25mg', 'active', 'dr-smith',"
    " 'Dr. Sarah Smith, MD', '{}')"
)


async def test_map_a_medication_request_for_a_treatment_becomes_a_prescription(world: World) -> None:
    await world.write(CUSTOMER)
    await world.sql(TREATMENT)
    assert (await world.read("CarePlan/t1"))["status"] == "active"
    assert (await world.read("Practitioner/dr-smith"))["resourceType"] == "Practitioner"
    order = {
        "resourceType": "MedicationRequest",
        "id": "rx1",
        "identifier": [{"system": systems.RIMO_ORDER, "value": "rimo_order_1"}],
        "status": "active",
        "intent": "order",
        "medicationCodeableConcept": {"text": "Semaglutide"},
        "subject": {"reference": "Patient/c1"},
        "basedOn": [{"reference": "CarePlan/t1"}],
        "dosageInstruction": [{"text": "0.25mg"}],
    }
    await world.write(order)
    assert await world.home("MedicationRequest/rx1") == "patient_prescriptions"
    (row,) = await world.rows(tables.patient_prescriptions)
    assert (row["treatment_id"], row["rimo_order_id"], row["medication_name"]) == ("t1", "rimo_order_1", "Semaglutide")
    assert same(await world.read("MedicationRequest/rx1"), order)
    assert {"reference": {"reference": "MedicationRequest/rx1"}} in (await world.read("CarePlan/t1"))["activity"]
    await world.write(order | {"id": "rx2", "status": "draft"})
    assert await world.home("MedicationRequest/rx2") is None
    assert (await reconcile(world.database, ORGANIZATION, fix=False)).agrees


async def test_map_a_care_plan_of_a_customer_becomes_a_protocol(world: World) -> None:
    plan = {
        "resourceType": "CarePlan",
        "id": "plan1",
        "status": "active",
        "intent": "plan",
        "category": [{"coding": [{"system": systems.CARE_PLAN_CATEGORY, "code": "protocol"}]}],
        "title": "Thyroid optimisation",
        "subject": {"reference": "Patient/c1"},
        "period": {"start": "2026-03-17"},
        "note": [{"text": "recheck TSH"}],
    }
    await world.write(CUSTOMER, plan)
    assert await world.home("CarePlan/plan1") == "protocols"
    assert same(await world.read("CarePlan/plan1"), plan)
    report = await report_homes(world.database, ORGANIZATION)
    assert report["CarePlan"].homes == {"protocols": 1}


async def test_map_native_resources_say_why_no_table_holds_them(world: World) -> None:
    await world.write({"resourceType": "Patient", "id": "n1", "name": [{"family": "Nemo"}]})
    await world.write({"resourceType": "Encounter", "id": "e1", "status": "finished", "class": {"code": "AMB"}})
    report = await report_homes(world.database, ORGANIZATION)
    assert report["Encounter"].reasons == {"no table holds this type": 1}
    ((reason, count),) = report["Patient"].reasons.items()
    assert "customer_profiles" in reason
    assert count == 1

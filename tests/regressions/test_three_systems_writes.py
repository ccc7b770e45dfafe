"""What once went wrong when FHIR clients wrote to the care platform and the health hub."""

from __future__ import annotations

from datetime import UTC, datetime
from random import Random
from string import ascii_letters
from typing import Any

import pytest
from sqlalchemy import select, text

from mappers import systems
from storage.access import system_access
from storage.codec import decode
from storage.errors import MappingRefused, ReferenceConflict
from storage.projection.outbox import Projector
from storage.projection.reconcile import reconcile
from storage.repositories.care_programs import EnrollmentRepository
from storage.repositories.loading import Saved, save_rows
from storage.tables.care_platform import metric_definitions, observations, patients
from storage.transaction import UnitOfWork
from tests.conftest import ORGANIZATION
from tests.conftest import OTHER_ORGANIZATION as HUB
from tests.regressions.shop import CHANGE, Shop

DAY = "2025-01-01T10:00:00Z"
HAROLD: dict[str, Any] = {
    "resourceType": "Patient",
    "name": [{"family": "Jenkins", "given": ["Harold"]}],
    "birthDate": "1948-05-12",
}
HUB_SYSTEM = system_access(HUB, "tester")
PROFILE = (
    "INSERT INTO users (id, email) VALUES ('laura', 'laura@x.example')",
    f"INSERT INTO profiles (organization_id, id, user_id, display_name) VALUES ('{HUB}', 'p', 'laura', 'Laura')",
)
RAW = (
    "INSERT INTO profile_fhir_resources_raw"
    " (organization_id, id, profile_id, provider, resource_type, resource_id, resource_json)"
    f" VALUES ('{HUB}', 'r', 'p', 'epic', 'Observation', 'o', '{{}}')"
)


async def care(shop: Shop) -> Shop:
    """Let new Patients be rows of the care platform, and write one."""
    await shop.execute(text(f"UPDATE organizations SET home_system = 'care' WHERE id = '{ORGANIZATION}'"))
    await shop.put("Patient/harold", HAROLD)
    return shop


def measured(code: str = "29463-7", **value: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": systems.LOINC, "code": code}]},
        "subject": {"reference": "Patient/harold"},
        "effectiveDateTime": DAY,
        **value,
    }


def kilograms(number: str) -> dict[str, Any]:
    amount = f'{{"value": {number}, "unit": "kg", "system": "{systems.UCUM}", "code": "kg"}}'
    return measured(valueQuantity=decode(amount.encode()))


@pytest.mark.parametrize("number", ["80.50", "80.500", "8050e-2"])
async def test_a_number_written_with_other_digits_is_kept_by_the_row_too(shop: Shop, number: str) -> None:
    await care(shop)
    await shop.put("Observation/o", kilograms("80.5"))
    await shop.put("Observation/o", kilograms(number))
    assert await shop.versions("Observation/o") == [2, 1]
    ((value,),) = await shop.execute(select(observations.c.value))
    shown = (await shop.read("Observation/o"))["valueQuantity"]["value"]
    assert str(value) == str(shown) == ("80.500" if number == "80.500" else "80.50")
    assert (await reconcile(shop.database, ORGANIZATION, fix=False)).agrees


async def test_a_component_written_with_other_digits_is_kept_by_the_row_too(shop: Shop) -> None:
    await care(shop)
    for number in ("120", "120.0"):
        of = {"coding": [{"system": systems.LOINC, "code": "8480-6"}]}
        amount = kilograms(number)["valueQuantity"] | {"unit": "mmHg", "code": "mm[Hg]"}
        await shop.put("Observation/o", measured("85354-9", component=[{"code": of, "valueQuantity": amount}]))
    ((value,),) = await shop.execute(select(observations.c.value))
    assert str(value["systolic"]) == "120.0"
    assert (await reconcile(shop.database, ORGANIZATION, fix=False)).agrees


async def test_a_code_with_a_wrong_check_digit_makes_no_metric_that_nobody_finds_again(shop: Shop) -> None:
    await care(shop)
    await shop.put("Observation/o", measured("8668-1", valueString="fine"))
    assert await shop.execute(select(metric_definitions.c.id)) == []


@pytest.fixture
async def hub(shop: Shop) -> Shop:
    """A shop with a profile of the health hub that shows as Patient/p."""
    for statement in PROFILE:
        await shop.execute(text(statement), HUB)
    await reconcile(shop.database, HUB, fix=True)
    return shop


async def test_deleting_the_Patient_of_a_profile_does_not_take_its_records_along(hub: Shop) -> None:
    await hub.execute(text(RAW), HUB)
    with pytest.raises(MappingRefused, match="profile_fhir_resources_raw would go with it"):
        await hub.delete("Patient/p", access=HUB_SYSTEM)
    assert len(await hub.execute(text("SELECT id FROM profile_fhir_resources_raw"), HUB)) == 1
    assert (await hub.read("Patient/p", HUB_SYSTEM))["id"] == "p"


async def test_the_Patient_of_a_profile_without_records_can_be_deleted(hub: Shop) -> None:
    await hub.delete("Patient/p", access=HUB_SYSTEM)
    assert await hub.execute(text("SELECT id FROM profiles"), HUB) == []
    await Projector(hub.database).drain()


def enrolled(subject: str) -> tuple[str, ...]:
    """Return statements that give a patient somebody and something to be enrolled with."""
    return (
        (
            "INSERT INTO clinicians (organization_id, id, first_name, last_name, email)"
            f" VALUES ('{ORGANIZATION}', 'chan', 'Terrence', 'Chan', 'chan@x.example')"
        ),
        f"INSERT INTO care_programs (organization_id, id, name, type) VALUES ('{ORGANIZATION}', 'g', 'RPM', 'RPM')",
        (
            "INSERT INTO enrollments (organization_id, id, patient_id, clinician_id, care_program_id, start_date)"
            f" VALUES ('{ORGANIZATION}', 'e', '{subject}', 'chan', 'g', '2025-08-01T00:00:00.000000Z')"
        ),
    )


async def test_a_Patient_is_deleted_together_with_what_refers_to_it(shop: Shop) -> None:
    await care(shop)
    for statement in enrolled("harold"):
        await shop.execute(text(statement))
    await reconcile(shop.database, ORGANIZATION, fix=True)
    await shop.put("Observation/o", kilograms("80.5") | {"basedOn": [{"reference": "CarePlan/e"}]})
    await shop.delete("Patient/harold", "CarePlan/e", "Observation/o")
    for table in ("patients", "enrollments", "observations"):
        assert await shop.execute(text(f"SELECT id FROM {table}")) == [], table
    assert (await reconcile(shop.database, ORGANIZATION, fix=False)).agrees


async def test_a_refused_deletion_names_the_resource_and_not_its_row(shop: Shop) -> None:
    await care(shop)
    await shop.execute(text(enrolled("harold")[0]))
    await shop.execute(
        text(
            "INSERT INTO time_logs (organization_id, id, patient_id, clinician_id, activity, duration)"
            f" VALUES ('{ORGANIZATION}', 't', 'harold', 'chan', 'CALL_PATIENT', 12)"
        )
    )
    with pytest.raises(ReferenceConflict, match="Patient/harold is referred to"):
        await shop.delete("Patient/harold")


async def test_a_row_that_moves_to_another_patient_leaves_the_first(shop: Shop) -> None:
    await care(shop)
    await shop.put("Patient/maude", HAROLD | {"name": [{"family": "Gray", "given": ["Maude"]}]})
    for statement in enrolled("harold"):
        await shop.execute(text(statement))
    await reconcile(shop.database, ORGANIZATION, fix=True)

    async def move(unit: UnitOfWork) -> None:
        await EnrollmentRepository(unit).update("e", {"patient_id": "maude"})

    await shop.database.transact(ORGANIZATION, CHANGE, move)
    assert (await reconcile(shop.database, ORGANIZATION, fix=False)).agrees


def long_text(size: int = 4000) -> str:
    """Return text that does not compress, so that no index takes it."""
    return "".join(Random(1).choices(ascii_letters, k=size))


@pytest.mark.parametrize(
    ("name", "resource"),
    [
        ("Patient/p", HAROLD | {"name": [{"family": long_text(), "given": ["A"]}]}),
        (
            "Patient/p",
            HAROLD | {"identifier": [{"system": systems.medical_record(ORGANIZATION), "value": long_text()}]},
        ),
        ("Observation/o", kilograms("1") | {"code": {"coding": [{"system": "urn:x", "code": long_text()}]}}),
    ],
)
async def test_text_that_no_index_takes_is_kept_in_the_store(shop: Shop, name: str, resource: dict[str, Any]) -> None:
    await care(shop)
    await shop.put(name, resource)
    assert (await shop.read(name)).items() >= resource.items()
    table = {"Patient": "patients", "Observation": "observations"}[name.partition("/")[0]]
    assert await shop.execute(text(f"SELECT id FROM {table} WHERE id <> 'harold'")) == []


async def test_a_row_takes_no_text_that_no_index_takes_and_says_so(shop: Shop) -> None:
    await care(shop)
    with pytest.raises(MappingRefused, match="last_name takes no text so long"):
        await shop.put("Patient/harold", HAROLD | {"name": [{"family": long_text(), "given": ["A"]}]})


async def test_a_document_with_text_that_no_index_takes_is_refused_by_the_row(shop: Shop) -> None:
    names = {
        "organization_id": ORGANIZATION,
        "last_name": "Jenkins",
        "date_of_birth": datetime(1948, 5, 12, tzinfo=UTC),
    }
    rows = [{**names, "id": "long", "first_name": long_text()}, {**names, "id": "harold", "first_name": "Harold"}]

    async def load(unit: UnitOfWork) -> Saved:
        return await save_rows(unit, patients, rows, singly=True)

    saved = await shop.database.transact(ORGANIZATION, CHANGE, load)
    is_postgres = shop.database.dialect == "postgresql"
    assert saved.refused.keys() == ({"long"} if is_postgres else set())
    assert "harold" in saved.changed

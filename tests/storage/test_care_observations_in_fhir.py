"""Observations of the care platform in the store: metrics made, values kept, names told anew (settled §1.8, §1.13)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from mappers import systems
from storage.engine import Database
from storage.projection.flush import flush
from storage.tables import care_platform as tables
from tests.conftest import ORGANIZATION
from tests.storage.test_care_patients import CLINICIAN, HAROLD
from tests.storage.test_care_programs_in_fhir import PLAN, PROGRAM
from tests.storage.test_homes import World, same

PRESSURE = (
    "INSERT INTO metric_definitions (organization_id, id, key, name, value_type, unit, category, code_system, code)"
    f" VALUES ('{ORGANIZATION}', 'bp', 'bp', 'Blood Pressure', 'composite', 'mmHg', 'VITALS', 'LOINC', '85354-9')"
)
BMI: dict[str, Any] = {
    "resourceType": "Observation",
    "id": "bmi",
    "status": "final",
    "category": [{"coding": [{"system": systems.OBSERVATION_CATEGORY, "code": "vital-signs"}], "text": "Vitals"}],
    "code": {"coding": [{"system": systems.LOINC, "code": "39156-5", "display": "Body Mass Index"}], "text": "BMI"},
    "subject": {"reference": "Patient/harold"},
    "effectiveDateTime": "2025-09-16T08:30:00.5-07:00",
    "valueQuantity": {"value": Decimal("27.60"), "unit": "kg/m2", "system": systems.UCUM, "code": "kg/m2"},
}


@pytest.fixture
async def world(fresh_database: Database) -> World:
    fresh_database.flush = flush
    world = World(fresh_database)
    await world.sql(f"UPDATE organizations SET home_system = 'care' WHERE id = '{ORGANIZATION}'")
    await world.write(HAROLD)
    return world


async def test_an_observation_makes_the_metric_that_nobody_defined_and_the_next_one_finds_it(world: World) -> None:
    await world.write(BMI)
    await world.write({**BMI, "id": "again", "valueQuantity": {"value": Decimal("1.10")}})
    assert await world.home("Observation/bmi") == await world.home("Observation/again") == "observations"
    (metric,) = await world.rows(tables.metric_definitions)
    assert (metric["name"], metric["ucum"], metric["origin"]) == ("Body Mass Index", "kg/m2", "fhir")
    rows = {row["id"]: row for row in await world.rows(tables.observations)}
    assert {row["metric_id"] for row in rows.values()} == {metric["id"]}
    assert (str(rows["bmi"]["value"]), rows["bmi"]["unit"]) == ("27.60", "kg/m2")
    assert same(await world.read("Observation/bmi"), BMI)


async def test_a_value_without_a_metric_and_one_that_no_metric_has_are_native_and_define_nothing(world: World) -> None:
    unsaid = {name: value for name, value in BMI.items() if name != "valueQuantity"}
    absent = {**unsaid, "dataAbsentReason": {"text": "not measured"}}
    await world.write(absent)
    await world.write({**unsaid, "id": "range", "valueRange": {"low": {"value": 20}}})
    await world.write({**BMI, "id": "day", "effectiveDateTime": "2025-09-16"})
    assert [await world.home(f"Observation/{key}") for key in ("bmi", "range", "day")] == [None] * 3
    assert await world.rows(tables.metric_definitions) == []
    await world.write({**BMI, "effectiveDateTime": "2025-09-16T08:30:00Z"})
    assert await world.home("Observation/bmi") == "observations"


async def test_a_blood_pressure_is_one_row_of_the_metric_that_the_organization_has(world: World) -> None:
    await world.sql(CLINICIAN)
    await world.sql(PROGRAM)
    await world.sql(PRESSURE)
    await world.write(PLAN)
    members = {"8480-6": 128, "8462-4": Decimal("76.0")}
    resource = {
        **BMI,
        "code": {"coding": [{"system": systems.LOINC, "code": "85354-9"}]},
        "basedOn": [{"reference": "CarePlan/plan"}],
        "component": [
            {
                "code": {"coding": [{"system": systems.LOINC, "code": code}]},
                "valueQuantity": {"value": value, "unit": "mmHg", "system": systems.UCUM, "code": "mm[Hg]"},
            }
            for code, value in members.items()
        ],
    }
    del resource["valueQuantity"]
    await world.write(resource)
    (row,) = await world.rows(tables.observations)
    assert (row["metric_id"], row["unit"], row["enrollment_id"]) == ("bp", "mmHg", "plan")
    assert same(row["value"], {"systolic": 128, "diastolic": Decimal("76.0")})
    assert same(await world.read("Observation/bmi"), resource)
    assert len(await world.rows(tables.metric_definitions)) == 1


async def test_what_another_writer_measures_shows_and_wins(world: World) -> None:
    await world.sql(PRESSURE)
    await world.sql(
        "INSERT INTO observations (organization_id, id, patient_id, metric_id, metric_organization_id, value)"
        f" VALUES ('{ORGANIZATION}', 'o', 'harold', 'bp', '{ORGANIZATION}', '\"128/76\"')"
    )
    shown = await world.read("Observation/o")
    assert [item["valueQuantity"]["value"] for item in shown["component"]] == [128, 76]
    await world.write({**shown, "note": [{"text": "sitting"}]})
    await world.sql("""UPDATE observations SET value = '{"systolic": 130, "diastolic": null}' WHERE id = 'o'""")
    again = await world.read("Observation/o")
    assert again["component"][0]["valueQuantity"]["value"] == 130
    assert (again["note"], "dataAbsentReason" in again["component"][1]) == ([{"text": "sitting"}], True)

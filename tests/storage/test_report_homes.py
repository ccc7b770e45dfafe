"""A DiagnosticReport that is written with its results becomes one row of lab_results (settled §1.9)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from mappers import systems
from mappers.json_values import encode
from storage.tables import patient_graph as tables
from tests.storage.test_homes import CUSTOMER, World, same, world  # noqa: F401 - a fixture

LABORATORY = [{"coding": [{"system": systems.OBSERVATION_CATEGORY, "code": "laboratory", "display": "Laboratory"}]}]


def result(name: str, loinc: str, value: str) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": name,
        "status": "final",
        "category": LABORATORY,
        "code": {"coding": [{"system": systems.LOINC, "code": loinc}], "text": name},
        "subject": {"reference": "Patient/c1"},
        "issued": "2015-03-09T05:05:47.608+00:00",
        "valueQuantity": {"value": Decimal(value), "unit": "g/dL", "system": systems.UCUM, "code": "g/dL"},
    }


REPORT: dict[str, Any] = {
    "resourceType": "DiagnosticReport",
    "id": "report1",
    "status": "final",
    "category": [{"coding": [{"system": systems.DIAGNOSTIC_SERVICE, "code": "LAB"}]}],
    "code": {"coding": [{"system": systems.LOINC, "code": "58410-2"}], "text": "Blood count"},
    "subject": {"reference": "Patient/c1"},
    "effectiveDateTime": "2015-03-09T05:05:47+00:00",
    "result": [{"reference": "Observation/o2"}, {"reference": "Observation/o1", "display": "first"}],
}
O1, O2 = result("o1", "718-7", "13.10"), result("o2", "21000-5", "39.80")


@pytest.fixture
async def reported(world: World) -> World:  # noqa: F811 - a fixture
    await world.write(O1, CUSTOMER, REPORT, O2)
    return world


async def test_a_report_and_its_results_are_one_row_and_come_back_unchanged(reported: World) -> None:
    (row,) = await reported.rows(tables.lab_results)
    assert row["id"] == "report1"
    assert set(row["biomarkers"]) == {"hemoglobin", "o2"}
    for written in (REPORT, O1, O2):
        name = f"{written['resourceType']}/{written['id']}"
        assert await reported.home(name) == "lab_results"
        assert same(await reported.read(name), written)


async def test_a_biomarker_changed_behind_fhir_shows_in_the_observation_that_was_written(reported: World) -> None:
    (row,) = await reported.rows(tables.lab_results)
    changed = {**row["biomarkers"], "hemoglobin": {**row["biomarkers"]["hemoglobin"], "value": 12}}
    literal = encode(changed).decode().replace('":', '": ')  # no bind parameter
    await reported.sql(f"UPDATE lab_results SET biomarkers = '{literal}' WHERE id = 'report1'")
    assert (await reported.read("Observation/o1"))["valueQuantity"]["value"] == 12
    assert same(await reported.read("Observation/o2"), O2)
    assert same(await reported.read("DiagnosticReport/report1"), REPORT)


async def test_deleting_a_result_takes_its_biomarker_out_of_the_row(reported: World) -> None:
    await reported.delete("Observation/o1")
    (row,) = await reported.rows(tables.lab_results)
    assert set(row["biomarkers"]) == {"o2"}


async def test_a_report_alone_and_a_result_alone_are_native(world: World) -> None:  # noqa: F811 - a fixture
    await world.write(CUSTOMER, O1, O2)
    await world.write(REPORT)
    assert await world.rows(tables.lab_results) == []
    assert await world.home("DiagnosticReport/report1") is None
    assert await world.home("Observation/o1") is None


async def test_a_result_belongs_to_one_report_only(world: World) -> None:  # noqa: F811 - a fixture
    again = {**REPORT, "id": "report2"}
    await world.write(CUSTOMER, O1, O2, REPORT, again)
    assert len(await world.rows(tables.lab_results)) == 1
    assert sorted([str(await world.home(f"DiagnosticReport/{name}")) for name in ("report1", "report2")]) == [
        "None", "lab_results"
    ]  # fmt: skip
    assert same(await world.read("DiagnosticReport/report2"), again)

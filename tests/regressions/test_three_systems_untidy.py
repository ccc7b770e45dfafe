"""A row that others show and that nobody can read holds up only what shows it (settled §3.8)."""

from __future__ import annotations

import pytest
from sqlalchemy import select, text

from storage.errors import MappingRefused
from storage.projection.outbox import Projector
from storage.projection.reconcile import reconcile
from storage.tables.fhir import projection_failures
from tests.conftest import ORGANIZATION
from tests.regressions.shop import Shop, person
from tests.regressions.test_untidy_rows import foreign, left

PATIENT = (
    "INSERT INTO patients (organization_id, id, first_name, last_name, date_of_birth)"
    f" VALUES ('{ORGANIZATION}', 'p', 'A', 'B', '1950-01-01T00:00:00.000000Z')"
)
METRIC = (
    "INSERT INTO metric_definitions (organization_id, id, key, name, value_type, created_at)"
    f" VALUES ('{ORGANIZATION}', '{{0}}', '{{0}}', 'Steps', 'number', '{{1}}')"
)
OBSERVATION = (
    "INSERT INTO observations (organization_id, id, patient_id, metric_organization_id, metric_id, value)"
    f" VALUES ('{ORGANIZATION}', '{{0}}', 'p', '{ORGANIZATION}', '{{1}}', '1')"
)
DAY = "2025-01-01T00:00:00.000000Z"


def unreadable(shop: Shop) -> str:
    """Return a time that the column takes and no program can read."""
    return "infinity" if shop.database.dialect == "postgresql" else "some day"


async def failures(shop: Shop) -> list[tuple[str, str]]:
    columns = projection_failures.c
    return [tuple(row) for row in await shop.execute(select(columns.table_name, columns.key))]


async def test_a_metric_that_cannot_be_read_holds_up_its_observations_alone(shop: Shop) -> None:
    await foreign(shop, PATIENT, METRIC.format("good", DAY), METRIC.format("bad", unreadable(shop)))
    await foreign(shop, OBSERVATION.format("o", "good"), OBSERVATION.format("x", "bad"))
    await Projector(shop.database).drain()
    assert await left(shop) == 0
    assert await shop.ids("Observation?") == ["o"]
    assert await failures(shop) == [("observations", "x")]
    findings = await reconcile(shop.database, ORGANIZATION, fix=False)
    assert (dict(findings.differing), list(findings.failures)) == ({}, ["observations/x"])


async def test_what_shows_a_metric_is_shown_once_it_can_be_read(shop: Shop) -> None:
    await foreign(shop, PATIENT, METRIC.format("bad", unreadable(shop)), OBSERVATION.format("x", "bad"))
    await Projector(shop.database).drain()
    await foreign(shop, f"UPDATE metric_definitions SET created_at = '{DAY}'")
    await Projector(shop.database).drain()
    assert (await shop.ids("Observation?"), await failures(shop)) == (["x"], [])


async def test_what_shows_a_metric_keeps_its_last_good_version_while_it_cannot_be_read(shop: Shop) -> None:
    await foreign(shop, PATIENT, METRIC.format("bad", DAY), OBSERVATION.format("x", "bad"))
    await Projector(shop.database).drain()
    shown = await shop.read("Observation/x")
    await foreign(shop, f"UPDATE metric_definitions SET created_at = '{unreadable(shop)}', name = 'Paces'")
    await foreign(shop, "UPDATE observations SET value = '2'")
    await Projector(shop.database).drain()
    assert await shop.read("Observation/x") == shown
    assert await failures(shop) == [("observations", "x")]
    await shop.execute(text(f"UPDATE metric_definitions SET created_at = '{DAY}'"))
    await reconcile(shop.database, ORGANIZATION, fix=True)
    assert (await shop.read("Observation/x"))["valueQuantity"]["value"] == 2


async def test_who_writes_what_belongs_to_a_row_that_cannot_be_read_is_told_so(shop: Shop) -> None:
    await foreign(shop, f"UPDATE organizations SET home_system = 'care' WHERE id = '{ORGANIZATION}'", PATIENT)
    await Projector(shop.database).drain()
    await foreign(shop, f"UPDATE patients SET created_at = '{unreadable(shop)}'")
    shown = await shop.read("Patient/p")
    with pytest.raises(MappingRefused, match="a row of patients cannot be read"):
        await shop.put("Patient/p", shown | {"gender": "male"})
    await foreign(shop, PATIENT.replace("'p'", "'q'"), f"UPDATE patients SET created_at = '{unreadable(shop)}'")
    with pytest.raises(MappingRefused, match="a row of patients cannot be read"):
        await shop.put("Patient/q", person(name=[{"family": "B", "given": ["A"]}], birthDate="1950-01-01"))

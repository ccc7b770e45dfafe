"""Who may search what, and searches inside a unit of work (security AZ-4, AZ-7; fhir_rest.md C4; settled §3.4)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fhir_server.fhir.parse.search import parse_criteria
from storage.access import Access
from storage.engine import Database
from storage.errors import InteractionForbidden, SearchTooCostly
from storage.resources import ResourceKey
from storage.sql import Prepared
from storage.transaction import Change
from storage.versions import Pending, write_versions
from tests.search.library import Library

PATIENT = {"resourceType": "Patient", "id": "p1", "identifier": [{"system": "urn:mrn", "value": "A1"}]}
CHANGE = Change("tester", "tests", "test")


@pytest.mark.parametrize(
    "query",
    [
        "Practitioner?name=x",
        "Observation?performer:Practitioner.name=x",
        "Patient?_has:Immunization:patient:status=completed",
        "Practitioner?_summary=count",
    ],
)
async def test_security_AZ4_a_type_without_any_right_is_refused_whether_or_not_rows_exist(
    library: Library, query: str
) -> None:
    access = library.patient_access("p1")
    with pytest.raises(InteractionForbidden):
        await library.page(query, access)
    await library.add({"resourceType": "Practitioner", "id": "d", "name": [{"text": "x"}]})
    with pytest.raises(InteractionForbidden):
        await library.page(query, access)


async def test_security_AZ3_a_compartment_without_a_patient_reaches_nothing(library: Library) -> None:
    access = replace(library.patient_access("p1"), patient=None)
    with pytest.raises(InteractionForbidden):
        await library.page("Observation", access)


async def test_security_AZ2_a_patients_own_pages_are_cut_inside_the_statement(library: Library) -> None:
    for number in range(10):
        subject = {"reference": f"Patient/p{number % 2}"}
        await library.add(
            {"resourceType": "Observation", "id": f"o{number}", "status": "final", "code": {}, "subject": subject}
        )
    access = library.patient_access("p1")
    page = await library.page("Observation?_count=3&_total=accurate", access)
    assert [version.key.id for version in page.matches] == ["o9", "o7", "o5"]
    assert page.total == 5
    assert await library.everything("Observation?_count=2", access) == ["o9", "o7", "o5", "o3", "o1"]
    assert await library.ids("Observation?patient=p0", access) == []


async def test_a_resource_in_two_compartments_is_found_from_both(library: Library) -> None:
    await library.add(
        {
            "resourceType": "Observation",
            "id": "o",
            "status": "final",
            "code": {},
            "subject": {"reference": "Group/g"},
            "performer": [{"reference": "Patient/p1"}, {"reference": "Patient/p2"}],
        }
    )
    for patient in ("p1", "p2"):
        assert await library.ids("Observation?status=final", library.patient_access(patient)) == ["o"]
    assert await library.ids("Observation", library.patient_access("p3")) == []
    assert await library.ids("Observation?performer=p2", library.patient_access("p1")) == ["o"]
    assert await library.ids("Observation?patient=p1") == []


async def test_fhir_C4_a_condition_sees_what_its_own_unit_of_work_wrote(library: Library, database: Database) -> None:
    criteria = parse_criteria("Patient", "identifier=urn:mrn|A1")
    access = library.access
    async with database.begin(library.organization, CHANGE) as unit:
        assert await library.searcher.find(unit.driver, "Patient", criteria, access, 2) == []
        await write_versions(unit, [Pending(ResourceKey("Patient", "p1"), PATIENT, None)])
        found = await library.searcher.find(unit.driver, "Patient", criteria, access, 2)
        assert found == [ResourceKey("Patient", "p1")]


async def test_fhir_C4_a_condition_finds_no_more_than_asked_and_only_what_is_visible(
    library: Library, database: Database
) -> None:
    await library.add(*({**PATIENT, "id": f"p{number}"} for number in range(4)))
    criteria = parse_criteria("Patient", "identifier=urn:mrn|A1")

    async def found(access: Access) -> list[str]:
        async with database.read(library.organization) as driver:
            return [key.id for key in await library.searcher.find(driver, "Patient", criteria, access, 2)]

    assert await found(library.access) == ["p3", "p2"]
    assert await found(library.patient_access("p1")) == ["p1"]


async def test_settled_3_4_rising_by_last_updated_stops_before_a_running_transaction(library: Library) -> None:
    """What is committed late must not be passed by a cursor; on SQLite writers do not overlap."""
    if library.database.dialect != "postgresql":
        pytest.skip("one writer at a time")
    await library.add({"resourceType": "Patient", "id": "a"})
    async with library.database.begin(library.organization, CHANGE) as unit:
        await write_versions(
            unit, [Pending(ResourceKey("Patient", "late"), {"resourceType": "Patient", "id": "late"}, None)]
        )
        await library.add({"resourceType": "Patient", "id": "b"})
        assert await library.ids("Patient?_sort=_lastUpdated") == ["a"]
        assert await library.ids("Patient?_sort=-_lastUpdated") == ["b", "a"]
        assert await library.ids("Patient") == ["b", "a"]
    assert set(await library.ids("Patient?_sort=_lastUpdated")) == {"a", "late", "b"}


async def test_fhir_H11_a_statement_beyond_the_limits_of_sqlite_is_too_costly(database: Database) -> None:
    if database.dialect != "sqlite":
        pytest.skip("PostgreSQL has no such limits")
    statement = Prepared("SELECT " + "NOT " * 2000 + "1", {})
    with pytest.raises(SearchTooCostly):
        await database.fetch("organization", statement, {})

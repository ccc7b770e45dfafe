"""Patient/$everything: the whole record of one patient, page by page (fhir_rest.md §13; security AZ-9)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from storage.errors import CursorInvalid, ResourceGone, ResourceNotFound
from storage.search.everything import Everything
from storage.search.values import date_range
from tests.search.library import Library


def observation(number: int, subject: str, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": f"o{number}",
        "status": "final",
        "code": {},
        "subject": {"reference": subject},
        "performer": [{"reference": f"Practitioner/d{number % 2}"}],
        **more,
    }


@pytest.fixture
async def ward(library: Library) -> Library:
    await library.add(
        {"resourceType": "Practitioner", "id": "d0"},
        {"resourceType": "Practitioner", "id": "d1"},
        {"resourceType": "Practitioner", "id": "unknown"},
        {"resourceType": "Organization", "id": "clinic"},
        {"resourceType": "Patient", "id": "p1", "managingOrganization": {"reference": "Organization/clinic"}},
        {"resourceType": "Patient", "id": "p2", "link": [{"other": {"reference": "Patient/p1"}, "type": "refer"}]},
        *(observation(n, "Patient/p1", effectiveDateTime=f"2020-0{1 + n}-01") for n in range(5)),
        observation(5, "Patient/p1", focus=[{"reference": "Patient/p2"}], hasMember=[{"reference": "Observation/o7"}]),
        observation(6, "Group/g", performer=[{"reference": "Patient/p1"}, {"reference": "Patient/p2"}]),
        observation(7, "Patient/p2"),
        {"resourceType": "Condition", "id": "c", "subject": {"reference": "Patient/p1"}},
    )
    return library


RECORD = ["Patient/p1", "Condition/c", "Observation/o6", "Observation/o5", *(f"Observation/o{n}" for n in range(5))]
DIRECTORY = ["Organization/clinic", "Practitioner/d0", "Practitioner/d1"]


async def names(library: Library, asked: Everything, access: Any = None) -> list[str]:
    """Return the names on all pages, in order."""
    found: list[str] = []
    while True:
        page = await library.searcher.everything(asked, access or library.access)
        assert len(page.matches) <= asked.count
        found.extend(str(version.key) for version in page.matches)
        if page.next_cursor is None:
            return found
        asked = replace(asked, cursor=page.next_cursor)


@pytest.mark.parametrize("count", [1, 2, 3, 9, 12, 13, 100])
async def test_fhir_13_the_patient_comes_first_then_the_record_then_the_directory_each_once(
    ward: Library, count: int
) -> None:
    found = await names(ward, Everything("p1", count))
    assert sorted(found) == sorted([*RECORD, *DIRECTORY])
    assert found[0] == "Patient/p1"
    assert found[-3:] == DIRECTORY
    assert [each for each in found if each[-2:] in {"o0", "o1", "o2", "o3", "o4"}] == RECORD[-5:]


async def test_fhir_13_types_since_and_period_restrict_the_record(ward: Library) -> None:
    assert await names(ward, Everything("p1", 10, types=frozenset({"Condition", "Organization"}))) == [
        "Condition/c",
        "Organization/clinic",
    ]
    period = (date_range("2020-02")[0], date_range("2020-03")[1])
    found = await names(ward, Everything("p1", 100, types=frozenset({"Observation"}), period=period))
    assert set(found) == {"Observation/o1", "Observation/o2", "Observation/o5", "Observation/o6"}  # two have no date
    later = 2**62 // 10**6
    assert await names(ward, Everything("p1", 100, since=later)) == []


async def test_security_AZ9_a_patient_gets_its_own_record_only(ward: Library) -> None:
    access = ward.patient_access("p1", directory=["Practitioner"])
    assert sorted(await names(ward, Everything("p1", 4), access)) == sorted([*RECORD, *DIRECTORY[1:]])
    for stranger in ("p2", "nobody"):
        with pytest.raises(ResourceNotFound):
            await names(ward, Everything(stranger, 4), access)


async def test_fhir_13_a_deleted_patient_is_gone_and_an_unknown_one_not_found(ward: Library) -> None:
    await ward.delete("Patient/p2")
    with pytest.raises(ResourceGone):
        await names(ward, Everything("p2", 4))
    with pytest.raises(ResourceNotFound):
        await names(ward, Everything("p3", 4))


async def test_security_AZ10_a_place_in_one_record_is_none_in_another(ward: Library) -> None:
    page = await ward.searcher.everything(Everything("p1", 2), ward.access)
    with pytest.raises(CursorInvalid):
        await ward.searcher.everything(Everything("p2", 2, cursor=page.next_cursor), ward.access)

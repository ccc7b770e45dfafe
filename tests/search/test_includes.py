"""`_include` and `_revinclude` (fhir_rest.md §9 Q7, Q8; smart.md E5)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from storage.access import Reach, Right
from storage.search import searcher
from tests.search.library import Library

PATIENT = {"resourceType": "Patient", "id": "p1", "generalPractitioner": [{"reference": "Practitioner/d1"}]}
OTHER = {"resourceType": "Patient", "id": "p2", "link": [{"other": {"reference": "Patient/p1"}, "type": "seealso"}]}
DOCTOR = {"resourceType": "Practitioner", "id": "d1"}
GROUP = {"resourceType": "Group", "id": "g1", "type": "person", "actual": True}
OBSERVATIONS = [
    {
        "resourceType": "Observation",
        "id": f"o{n}",
        "status": "final",
        "code": {"text": "x"},
        "subject": {"reference": subject},
        "performer": [{"reference": "Practitioner/d1"}],
        "hasMember": [{"reference": f"Observation/o{n + 1}"}],
    }
    for n, subject in enumerate(["Patient/p1", "Patient/p1", "Group/g1", "Patient/p2", "Patient/gone"])
]


@pytest.fixture
async def shelf(library: Library) -> Library:
    await library.add(PATIENT, OTHER, DOCTOR, GROUP, *OBSERVATIONS)
    return library


@pytest.mark.parametrize(
    ("query", "included"),
    [
        ("Observation?_id=o0,o1&_include=Observation:patient", {"Patient/p1"}),
        ("Observation?_id=o0,o2,o3&_include=Observation:subject", {"Patient/p1", "Patient/p2", "Group/g1"}),
        ("Observation?_id=o0,o2&_include=Observation:subject:Group", {"Group/g1"}),
        ("Observation?_id=o0,o2&_include=Observation:subject:Patient", {"Patient/p1"}),
        ("Observation?_id=o4&_include=Observation:subject", set()),  # the target is not there
        ("Observation?_id=o0&_include=Observation:*", {"Patient/p1", "Practitioner/d1", "Observation/o1"}),
        ("Observation?_id=o0&_include=*", {"Patient/p1", "Practitioner/d1", "Observation/o1"}),
        ("Observation?_id=o0,o1&_include=Observation:has-member", {"Observation/o2"}),  # o1 is a match already
        ("Observation?_id=o0&_include:iterate=Observation:has-member", {f"Observation/o{n}" for n in range(1, 5)}),
        (
            "Observation?_id=o0&_include=Observation:patient&_include:iterate=Patient:general-practitioner",
            {"Patient/p1", "Practitioner/d1"},
        ),
        ("Patient?_id=p1&_revinclude=Observation:patient", {"Observation/o0", "Observation/o1"}),
        ("Patient?_id=p1&_revinclude=Observation:subject:Patient", {"Observation/o0", "Observation/o1"}),
        ("Group?_id=g1&_revinclude=Observation:subject", {"Observation/o2"}),
        ("Group?_id=g1&_revinclude=Observation:patient", set()),
        ("Practitioner?_id=d1&_revinclude=Patient:general-practitioner", {"Patient/p1"}),
        ("Patient?_id=p1&_revinclude=Patient:link", {"Patient/p2"}),
        ("Patient?_id=p1&_revinclude=Observation:*", {"Observation/o0", "Observation/o1"}),
        (
            "Practitioner?_id=d1&_revinclude=Patient:general-practitioner&_revinclude:iterate=Observation:patient",
            {"Patient/p1", "Observation/o0", "Observation/o1"},
        ),
    ],
)
async def test_fhir_Q7_a_page_includes(shelf: Library, query: str, included: set[str]) -> None:
    assert await shelf.included(query) == included


async def test_fhir_Q7_includes_belong_to_the_matches_of_the_page_and_do_not_count(shelf: Library) -> None:
    page = await shelf.page("Observation?_sort=_id&_count=2&_include=Observation:subject&_total=accurate")
    assert [version.key.id for version in page.matches] == ["o0", "o1"]
    assert [str(version.key) for version in page.includes] == ["Patient/p1"]
    assert page.total == 5


async def test_smart_E5_types_without_a_right_are_left_out_silently(shelf: Library) -> None:
    access = shelf.patient_access("p1")
    query = "Observation?_include=Observation:performer&_include=Observation:patient"
    assert await shelf.included(query, access) == {"Patient/p1"}
    allowed = shelf.patient_access("p1", directory=["Practitioner"])
    assert await shelf.included(query, allowed) == {"Patient/p1", "Practitioner/d1"}


async def test_security_AZ2_included_rows_pass_the_access_predicate(shelf: Library) -> None:
    access = shelf.patient_access("p1", directory=["Practitioner"])
    assert await shelf.included("Practitioner?_revinclude=Observation:performer", access) == {
        "Observation/o0",
        "Observation/o1",
    }
    assert await shelf.included("Patient?_revinclude=Patient:link", access) == set()
    own = shelf.patient_access("p1")
    reading = replace(own, rights={**own.rights, "Practitioner": {Right.READ: Reach.ORGANIZATION}})
    assert await shelf.included("Observation?_include=Observation:performer", reading) == {"Practitioner/d1"}


async def test_fhir_Q7_deleted_resources_are_not_included(shelf: Library) -> None:
    await shelf.delete("Observation/o1", "Group/g1")
    assert await shelf.included("Patient?_id=p1&_revinclude=Observation:patient") == {"Observation/o0"}
    assert await shelf.included("Observation?_id=o2&_include=Observation:subject") == set()


async def test_fhir_Q8_includes_stop_at_a_cap_and_say_so(shelf: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searcher, "MAX_INCLUDED", 2)
    page = await shelf.page("Observation?_id=o0&_include:iterate=Observation:has-member")
    assert len(page.includes) == 2
    assert page.warnings == (searcher.TOO_MANY_INCLUDED,)
    monkeypatch.undo()
    monkeypatch.setattr(searcher, "MAX_ROUNDS", 2)
    page = await shelf.page("Observation?_id=o0&_include:iterate=Observation:has-member")
    assert {str(version.key) for version in page.includes} == {"Observation/o1", "Observation/o2"}
    assert page.warnings == (searcher.TOO_MANY_ROUNDS,)

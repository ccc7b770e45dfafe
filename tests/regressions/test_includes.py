"""What a page includes is whole, or a warning says that it is not (fhir_rest Q7, Q8)."""

from __future__ import annotations

from tests.search.conftest import library
from tests.search.library import Library

__all__ = ["library"]


async def test_fhir_Q7_resources_that_two_includes_find_do_not_crowd_out_others(library: Library) -> None:
    await library.add({"resourceType": "Patient", "id": "p"})
    observed = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}}
    group = [{"reference": "Patient/p"}, {"reference": "Patient/q"}]
    await library.add(*({**observed, "id": f"o{n}", "performer": group, "focus": group} for n in range(600)))
    flag = {"resourceType": "Flag", "status": "active", "code": {"text": "x"}, "subject": {"reference": "Patient/p"}}
    await library.add(*({**flag, "id": f"f{n}"} for n in range(300)))
    ways = ("Observation:performer", "Observation:focus", "Flag:subject")
    page = await library.page("Patient?_id=p" + "".join(f"&_revinclude={way}" for way in ways))
    assert page.warnings == ()
    assert len({str(version.key) for version in page.includes}) == len(page.includes) == 900


async def test_fhir_Q7_matches_of_the_page_do_not_crowd_out_what_is_included(library: Library) -> None:
    panel = {"resourceType": "Observation", "status": "final", "code": {"text": "panel"}}
    await library.add(*({"resourceType": "Patient", "id": f"p{n}"} for n in range(200)))
    await library.add(*({**panel, "id": f"m{n}", "subject": {"reference": f"Patient/p{n % 200}"}} for n in range(900)))
    await library.add({**panel, "id": "all", "hasMember": [{"reference": f"Observation/m{n}"} for n in range(900)]})
    page = await library.page("Observation?_count=1000&_include=Observation:has-member&_include=Observation:subject")
    assert len(page.matches) == 901
    assert page.warnings == ()
    assert {version.key.resource_type for version in page.includes} == {"Patient"}
    assert len(page.includes) == 200

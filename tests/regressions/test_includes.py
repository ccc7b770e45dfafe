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
    query = "Patient?_id=p&_revinclude=Observation:performer&_revinclude=Observation:focus"
    page = await library.page(query)
    assert page.warnings == ()
    assert len({version.key.id for version in page.includes}) == len(page.includes) == 600


async def test_fhir_Q8_matches_of_the_page_do_not_crowd_out_what_is_included(library: Library) -> None:
    panel = {"resourceType": "Observation", "status": "final", "code": {"text": "panel"}}
    await library.add(*({**panel, "id": f"m{n}"} for n in range(900)))
    every = [{"reference": f"Observation/m{n}"} for n in range(900)]
    await library.add({**panel, "id": "p", "hasMember": every}, {**panel, "id": "q", "hasMember": every})
    await library.add({**panel, "id": "r", "derivedFrom": [{"reference": "Observation/p"}]})
    query = "Observation?_id=p,r&_include:iterate=Observation:has-member&_include:iterate=Observation:derived-from"
    page = await library.page(query)
    assert page.warnings == ()
    assert len(page.includes) == 900

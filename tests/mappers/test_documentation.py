"""`docs/mapping/` is what the declarations say."""

from __future__ import annotations

from pathlib import Path

import pytest

from mappers.documentation import mapped_types, mapping_markdown, mapping_page
from mappers.registry import mapper_named

PAGES = Path(__file__).resolve().parents[2] / "docs" / "mapping"


@pytest.mark.parametrize("resource_type", mapped_types())
def test_the_page_of_a_resource_type_is_up_to_date(resource_type: str) -> None:
    page = (PAGES / f"{resource_type}.md").read_text(encoding="utf-8")
    assert page == mapping_page(resource_type), "run `make docs`"


def test_there_is_no_page_of_a_type_without_mapper() -> None:
    assert {page.stem for page in PAGES.glob("*.md")} == set(mapped_types())


def test_a_column_that_another_resource_shows_is_not_called_internal() -> None:
    page = mapping_markdown(mapper_named("patient"))
    assert "Coverage shows `insurance_info`" in page
    assert "Never in FHIR: `created_at`, `updated_at`." in page

"""What a declaration refuses, and what the conversions do (style.md §2, settled §1.2, §1.6, §1.7)."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from mappers import isos
from mappers.codes.units import same_kind, ucum
from mappers.errors import MappingError, Refusal
from mappers.fields import constant, field
from mappers.identity import is_legal_id, part_resource_id, row_resource_id
from mappers.json_values import decode, encode, same
from mappers.lens import ResourceMapper
from mappers.registry import MAPPERS, mapper_named, mappers_of_table, mappers_of_type
from mappers.rows import Organization
from mappers.systems import SOURCE, source_name, source_uri


def test_a_code_table_must_be_one_to_one() -> None:
    with pytest.raises(MappingError):
        isos.code_table({"M": "male", "m": "male"})


def test_a_status_table_needs_a_default_for_each_code() -> None:
    with pytest.raises(MappingError):
        isos.status_table({"pending": "active", "shipped": "active"})


@pytest.mark.parametrize(
    "fields",
    [
        (field("no_such_column", "name"),),
        (field("name", "name[official]"),),  # no such slot
        (constant("active", True),),  # nobody fills `name`
    ],
)
def test_a_declaration_that_cannot_work_is_refused_when_it_is_made(fields: Any) -> None:
    with pytest.raises(MappingError):
        ResourceMapper("Organization", "organizations", "test", Organization, fields)


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("2015-02-07T13:28:17+02:00", datetime(2015, 2, 7, 11, 28, 17, tzinfo=UTC)),
        ("2015-02-07T13:28:17.1234567Z", datetime(2015, 2, 7, 13, 28, 17, 123456, tzinfo=UTC)),
        ("2015-02-07T13:28:17.5Z", datetime(2015, 2, 7, 13, 28, 17, 500000, tzinfo=UTC)),
    ],
)
def test_an_instant_becomes_utc(text: str, column: datetime) -> None:
    assert isos.column_instant(text) == column


@pytest.mark.parametrize("text", ["2015", "2015-02-07", "2015-02-07T13:28:17", "2016-12-31T23:59:60Z",
                                  "0001-01-01T00:00:00+14:00", 3])  # fmt: skip
def test_a_timestamp_refuses_what_it_cannot_hold(text: Any) -> None:
    with pytest.raises(Refusal):
        isos.column_instant(text)


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2026, 3, 20, 14, 30, tzinfo=UTC), "2026-03-20T14:30:00Z"),
        (datetime(2026, 3, 20, 14, 30, 0, 482000, tzinfo=UTC), "2026-03-20T14:30:00.482Z"),
        (datetime(2026, 3, 20, 14, 30, 0, 482001, tzinfo=UTC), "2026-03-20T14:30:00.482001Z"),
    ],
)
def test_a_timestamp_shows_only_the_fraction_it_has(moment: datetime, text: str) -> None:
    assert isos.instant_text(moment) == text


@pytest.mark.parametrize(
    ("value", "valid"),
    [("2026", True), ("2026-13", False), ("2026-02-30", False), ("2026-02-28", True), ("0000", False),
     ("2026-02-28T10:00:00Z", True), ("2026-02-28T10:00", False), (None, False)],
)  # fmt: skip
def test_a_date_time_lies_on_the_calendar(value: Any, valid: bool) -> None:
    assert isos.is_date_time(value) is valid


@pytest.mark.parametrize(
    ("number", "column", "shown"),
    [("1.10", "1.10", "1.10"), ("72", "72", "72"), ("1E2", "100", "100"), ("-0.0", "0.0", "0.0"),
     ("1.5E-3", "0.0015", "0.0015")],
)  # fmt: skip
def test_a_decimal_keeps_its_digits(number: str, column: str, shown: str) -> None:
    held = isos.column_number(decode(number))
    assert str(held) == column
    assert encode(isos.number(held)).decode() == shown


@pytest.mark.parametrize(("left", "right", "equal"), [
    (Decimal("1.10"), Decimal("1.1"), False), (1, Decimal(1), False), (True, 1, False), (1, 1, True),
    ({"a": [1]}, {"a": [1]}, True), ({"a": 1}, {"a": 1, "b": 2}, False), (None, None, True), (None, False, False),
])  # fmt: skip
def test_json_is_compared_digit_for_digit(left: Any, right: Any, equal: bool) -> None:
    assert same(left, right) is equal


@pytest.mark.parametrize(
    ("unit", "code"),
    [("ng/dl", "ng/dL"), ("μg/dL", "ug/dL"), ("µg/dL", "ug/dL"), ("K/uL", "10*3/uL"), ("10*3/uL", "10*3/uL"),
     ("Cal", "kcal"), ("cal", None), ("/µL", None), ("", None), (None, None)],
)  # fmt: skip
def test_a_unit_has_a_ucum_code_where_a_table_knows_it(unit: str | None, code: str | None) -> None:
    assert ucum(unit) == code


def test_units_of_one_kind_measure_the_same() -> None:
    assert same_kind("ng/mL", "ug/L")
    assert same_kind("m[IU]/L", "u[IU]/mL")
    assert not same_kind("mmol/L", "mg/dL")
    assert not same_kind(None, "mg/dL")


@pytest.mark.parametrize("source", ["oura_api", "https://feed.example/a", "日 本", SOURCE + "x", "a:b", "a b:c", "%41"])
def test_a_source_survives_as_a_uri(source: str) -> None:
    assert source_name(source_uri(source)) == source
    assert isos.is_uri(source_uri(source))


def test_ids_are_the_rows_where_fhir_allows_them() -> None:
    assert row_resource_id("subscriptions", "sub-1") == "sub-1"
    assert row_resource_id("subscriptions", "sub_1") == row_resource_id("subscriptions", "sub_1") != "sub_1"
    assert is_legal_id(row_resource_id("subscriptions", "sub_1"))
    assert row_resource_id("subscriptions", "a_1") != row_resource_id("protocols", "a_1")
    assert part_resource_id("lab_results", "l_1", "tsh") != part_resource_id("lab_results", "l_1", "ldl")


def test_the_registry_finds_mappers_by_name_table_and_type() -> None:
    assert all(mapper_named(mapper.name) is mapper for mapper in MAPPERS)
    assert {mapper.name for mapper in mappers_of_table("lab_results")} == {"lab_biomarker", "lab_report"}
    assert {mapper.table for mapper in mappers_of_type("CarePlan")} == {"protocols", "subscriptions", "enrollments"}
    assert mappers_of_type("Basic") == ()

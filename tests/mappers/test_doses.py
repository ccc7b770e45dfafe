"""Amounts and frequencies in text ⇄ Quantity and Timing (FHIR R4 datatypes.html)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from mappers import doses, systems
from mappers.errors import Refusal
from mappers.json_values import ABSENT, same
from mappers.timing import timing, timing_text

MG = {"system": systems.UCUM, "code": "mg"}


@pytest.mark.parametrize(
    ("column", "shown"),
    [
        (30, {"value": 30}),
        (Decimal("1.10"), {"value": Decimal("1.10")}),
        ("8", {"value": 8}),
        ("2.50 mg", {"value": Decimal("2.50"), "unit": "mg", **MG}),
        ("5mg", {"value": 5, "unit": "mg", **MG}),
        ("1 vial (10 mL)", {"value": 1, "unit": "vial (10 mL)"}),
        ("1,200 tabs", ABSENT),
        ("2-3 tabs", ABSENT),
        ("1 to 2 tabs", ABSENT),
        ("30 x 2", ABSENT),
        ("0.25/0.5 mg", ABSENT),
        ("a handful", ABSENT),
        ("", ABSENT),
        (True, ABSENT),
        (None, ABSENT),
        ({"n": 1}, ABSENT),
    ],
)
def test_a_quantity_column_shows_as_a_number_with_its_unit(column: Any, shown: Any) -> None:
    assert same(doses.quantity(column), shown)


@pytest.mark.parametrize(
    ("dosage", "code"),
    [("0.25mg", "mg"), ("112 mcg", "ug"), ("5000 IU", "[IU]"), ("1 tab", None)],
)
def test_a_dosage_that_is_a_dose_is_a_quantity(dosage: str, code: str | None) -> None:
    assert doses.dose(dosage).get("code") == code


@pytest.mark.parametrize(
    "dosage", ["0.5 mg weekly", "200mg/mL", "250 mcg/day", "as directed", "1-2 tabs", "5 elephants"]
)
def test_a_dosage_that_is_more_than_a_dose_is_none(dosage: str) -> None:
    assert doses.dose(dosage) is ABSENT


@pytest.mark.parametrize(
    ("written", "column"),
    [
        ({"value": 30}, 30),
        ({"value": Decimal("1E2")}, 100),
        ({"value": Decimal("2.50"), "unit": "mg"}, "2.50 mg"),
        ({"value": Decimal("0.0000001"), "code": "g"}, "0.0000001 g"),
    ],
)
def test_a_written_quantity_keeps_its_digits(written: Any, column: Any) -> None:
    assert same(doses.amount_of(written), column)


@pytest.mark.parametrize("written", [{}, {"unit": "mg"}, {"value": "3"}, [], None])
def test_a_written_quantity_without_a_number_is_refused(written: Any) -> None:
    with pytest.raises(Refusal):
        doses.amount_of(written)


@pytest.mark.parametrize(
    ("column", "shown"),
    [(0, 0), ("5", 5), (Decimal("2.0"), 2), (-1, ABSENT), (Decimal("1.5"), ABSENT), ("five", ABSENT), (2**31, ABSENT)],
)
def test_refills_show_as_a_whole_number(column: Any, shown: Any) -> None:
    assert same(doses.repeats(column), shown)


@pytest.mark.parametrize(
    ("text", "repeat"),
    [
        ("daily", (1, 1, "d")),
        ("BID", (2, 1, "d")),
        ("2x/week", (2, 1, "wk")),
        ("every other day", (1, 2, "d")),
        ("every 8 hours", (1, 8, "h")),
        ("q12h", (1, 12, "h")),
        ("prn", None),
        ("daily with food", None),
    ],
)
def test_a_frequency_is_a_timing_only_when_it_is_nothing_else(text: str, repeat: Any) -> None:
    shown = timing(text)
    found = None if shown is ABSENT else tuple(shown["repeat"].values())
    assert found == repeat
    assert shown is ABSENT or timing_text(shown) == text


def test_a_written_timing_is_named_by_its_code_or_its_repetition() -> None:
    assert timing_text({"code": {"coding": [{"code": "BID"}]}}) == "BID"
    assert timing_text({"repeat": {"frequency": 2, "period": 1, "periodUnit": "d"}}) == "bid"
    assert timing_text({"repeat": {"frequency": 2, "period": 1, "periodUnit": "d", "when": ["MORN"]}}) is None

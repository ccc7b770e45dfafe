"""Strategies for single column values (used by the row strategies)."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

ORGANIZATION = "loop-health"
CUSTOMERS = ("46416154-6565-532d-9584-05bbb662ff86", "cust_123", "79114e7f-4bcb-57fe-96f3-7e48389b59cc")

ids = st.one_of(st.uuids().map(str), st.from_regex(r"[a-z0-9_.\-]{1,12}", fullmatch=True))
"""Row ids: UUIDs, and texts of which some are no legal FHIR id (`cust_123`)."""
texts = st.one_of(
    st.sampled_from(["Jane", "O'Brien", "  Fitzgerald ", "陽菜", "이", "", " ", "a\x01b", "Vitamin D, 25-OH", "NKDA"]),
    st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12),
)
instants = st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
days = st.dates(date(1, 1, 1), date(9999, 12, 31))
decimals = st.decimals(-(10**6), 10**6, places=3).flatmap(
    lambda value: st.sampled_from([value, round(value, 1), round(value, 2), Decimal(int(value))])
)
numbers = decimals.map(lambda value: abs(value) if value == 0 else value)
scalars = st.one_of(st.none(), st.booleans(), st.integers(-1000, 1000), numbers, texts)
json_values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=5,
)
json_objects = st.dictionaries(texts, json_values, max_size=3)
text_arrays = st.one_of(st.none(), st.lists(texts, max_size=3).map(tuple))


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A nullable column."""
    return st.one_of(st.none(), strategy)

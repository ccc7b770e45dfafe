"""Rows in volume: what follows from another row's resource is what the row itself gives (mappers.lens.Alike)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from mappers.lookups import Lookups
from mappers.observation import READING_VARIES, WEARABLE_READING
from mappers.residual import NOTHING
from mappers.rows import WearableReading
from storage.codec import encode
from storage.projection.index_values import IndexLikeness, index_values
from storage.tables.enums import ReadingStatus, WearableDataType

BASE = "https://fhir.example/fhir"
NUMBERS = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9, places=4)
READINGS = st.builds(
    WearableReading,
    id=st.sampled_from(["r1", "r 2", "0b6f1f43-6a6c-5f0e-9d6f-0f6c9b1d2e3f", "Ünlegal"]),
    organization_id=st.just("o"),
    customer_id=st.sampled_from(["c1", "c2"]),
    data_type=st.sampled_from([*(each.value for each in WearableDataType), "mood", " "]),
    value=NUMBERS
    | st.decimals(allow_nan=True, allow_infinity=True)
    | st.sampled_from([Decimal(5), Decimal("5.0"), Decimal("1E+2"), Decimal("-0")]),
    unit=st.sampled_from(["mg/dL", "mmol/L", "ms", "%", "steps", "bpm", "", "\x01", "spoons"]),
    source=st.sampled_from(["dexcom_api", "oura", "fhir", "apple"]),
    recorded_at=st.integers(-(10**9), 10**10).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)),
    device_id=st.sampled_from([None, "d1"]),
    device_type=st.sampled_from([None, "dexcom", "apple watch"]),
    status=st.sampled_from([each.value for each in ReadingStatus]),
    metadata=st.sampled_from([{}, {"trend": "stable"}]),
)


@given(READINGS, READINGS)
@settings(max_examples=400, deadline=None)
def test_what_follows_from_a_row_of_the_same_kind_is_what_the_row_gives(one: Any, other: Any) -> None:
    mapper, lookups = WEARABLE_READING, Lookups("o", BASE)
    alike = mapper.alike
    assert alike is not None
    like = replace(one, **{name: getattr(other, name) for name in READING_VARIES})
    kind = alike.kind(one)
    if kind is None or alike.kind(like) is None:
        return
    assert alike.kind(like) == kind
    first = mapper.render(one, "", lookups, NOTHING)
    rendered = mapper.render(like, "", lookups, NOTHING)
    followed = alike.vary(first, like)
    followed["id"] = mapper.resource_id(like)
    assert encode(followed) == encode(rendered)
    likeness = IndexLikeness(first, alike.elements, BASE)
    assert likeness.values(first) == index_values(first, BASE)
    assert likeness.values(followed) == index_values(rendered, BASE)

"""Content of resources, compared: what an update may leave as it is (fhir_rest U4)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from storage.codec import content, is_same_content

VALUES = st.recursive(
    st.sampled_from([True, 1, Decimal("1.0"), Decimal("1.00"), Decimal(1), "1", "", 0, False]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=4,
)
RESOURCES = st.dictionaries(st.sampled_from(["a", "b", "id"]), VALUES, max_size=3)
METAS = st.none() | st.dictionaries(st.sampled_from(["versionId", "lastUpdated", "source"]), st.just("x"))


@given(RESOURCES, RESOURCES, METAS, METAS)
def test_fhir_U4_two_resources_have_the_same_content_when_it_is_written_alike(
    one: dict[str, Any], other: dict[str, Any], meta: Any, other_meta: Any
) -> None:
    first = one if meta is None else {**one, "meta": meta}
    second = other if other_meta is None else {"meta": other_meta, **other}
    assert is_same_content(first, second) == (content(first) == content(second))
    assert is_same_content(first, dict(reversed(first.items())))

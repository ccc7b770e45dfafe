"""Strategies for rows and for resources as other writers send them (used by the laws)."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from mappers.lookups import Home, Lookups
from mappers.rows import CustomerProfile, IdentityMapping

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


identity_mappings = st.builds(
    IdentityMapping,
    id=ids,
    organization_id=st.just(ORGANIZATION),
    customer_id=st.just(CUSTOMERS[0]),
    identifier_type=st.sampled_from(["clerk_user_id", "email", "stripe_customer_id"]),
    external_system=maybe(texts),
    external_id=texts,
)

customer_profiles = st.builds(
    CustomerProfile,
    id=ids,
    organization_id=st.just(ORGANIZATION),
    external_id=texts,
    email=texts,
    first_name=maybe(texts),
    last_name=maybe(texts),
    date_of_birth=maybe(days),
    biological_sex=maybe(st.sampled_from(["male", "female", "other"])),
    phone_number=maybe(texts),
    timezone=maybe(st.one_of(st.sampled_from(["Europe/Madrid", "Asia/Tokyo"]), texts)),
    subscription_tier=maybe(st.one_of(st.sampled_from(["free", "med"]), texts)),
    conditions=text_arrays,
    medications=text_arrays,
    allergies=text_arrays,
    tags=st.one_of(st.none(), st.lists(st.one_of(texts, json_values), max_size=3)),
    metadata=json_objects,
    created_at=maybe(instants),
    updated_at=maybe(instants),
    identity_mappings=st.lists(identity_mappings, max_size=2).map(tuple),
)

ROWS: dict[str, st.SearchStrategy[Any]] = {"customer_profile": customer_profiles}
"""A strategy of rows for each mapper, by the mapper's name."""


class AnyHome(dict[str, Home]):
    """Homes of references that tests make: `Patient/<id>` is the customer of that id, and so on."""

    TABLES = {
        "Patient": "customer_profiles",
        "CarePlan": "subscriptions",
        "Organization": "organizations",
    }

    def get(self, key: str, default: Any = None) -> Any:
        resource_type, _, resource_id = key.partition("/")
        if key in self:
            return self[key]
        if resource_type not in self.TABLES:
            return default
        return Home(self.TABLES[resource_type], resource_id)


def lookups(**changes: Any) -> Lookups:
    """Lookups that resolve every reference that the mappers render."""
    known = {
        "organization_id": ORGANIZATION,
        "organization_name": "Loop Health",
        "homes": AnyHome(),
        "published": frozenset({"clerk_user_id", "stripe_customer_id"}),
    }
    return Lookups(**{**known, **changes})


# ---- resources as other writers send them -------------------------------------------------------------------------

EXTENSION = {"url": "https://other.example/StructureDefinition/note", "valueString": "seen"}


def _drop(draw: Callable[..., Any], owner: dict[str, Any], key: str) -> None:
    del owner[key]


def _extend_primitive(draw: Callable[..., Any], owner: dict[str, Any], key: str) -> None:
    if isinstance(owner[key], (str, int, Decimal)) and not key.startswith("_"):
        owner[f"_{key}"] = {"extension": [dict(EXTENSION)]}


def _extend(draw: Callable[..., Any], owner: dict[str, Any], key: str) -> None:
    owner["extension"] = [*owner.get("extension", []), dict(EXTENSION)]


def _rewrite(draw: Callable[..., Any], owner: dict[str, Any], key: str) -> None:
    value = owner[key]
    if isinstance(value, bool):
        owner[key] = not value
    elif isinstance(value, str):
        owner[key] = draw(_other_text(value))
    elif isinstance(value, (int, Decimal)):
        owner[key] = draw(st.sampled_from([Decimal("1.10"), Decimal("1E2"), Decimal("-0.0"), 7, Decimal("72.500")]))


def _other_text(value: str) -> st.SearchStrategy[str]:
    if len(value) >= 10 and value[4:5] == "-" and value[7:8] == "-":
        date_only = len(value) == 10
        partial = ["1974", "1974-12", "1974-12-25"]
        exact = ["2015-02-07T13:28:17.239+02:00", "2015-02-07T13:28:17.1234567Z", "1999-12-31T23:59:59-05:00"]
        return st.sampled_from(partial if date_only else exact + partial)
    if "/" in value or ":" in value:
        return st.just(value)
    return st.sampled_from(["other", "male", "active", "completed", value.upper() or "x", "two words", "x"])


def _rearrange(draw: Callable[..., Any], owner: dict[str, Any], key: str) -> None:
    value = owner[key]
    if not isinstance(value, list):
        return
    extra = copy.deepcopy(value[0])
    if isinstance(extra, dict):
        extra["id"] = "again"
    owner[key] = draw(st.sampled_from([[*value, extra], [extra, *value], value[::-1], value[1:] or value]))


EDITS = (_drop, _extend_primitive, _extend, _rewrite, _rearrange)


def _objects(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, dict):
        return [value, *(found for item in value.values() for found in _objects(item))]
    if isinstance(value, list):
        return [found for item in value for found in _objects(item)]
    return []


@st.composite
def edited(draw: Callable[..., Any], resource: dict[str, Any]) -> dict[str, Any]:
    """The resource after a few edits by a client: members dropped, added, extended, rewritten, lists rearranged."""
    out = copy.deepcopy(resource)
    if draw(st.booleans()):
        out["text"] = {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">said</div>'}
    if draw(st.booleans()):
        out.setdefault("meta", {})["source"] = "https://clinic.example/feed"
    for _ in range(draw(st.integers(0, 5))):
        owner = draw(st.sampled_from(_objects(out)))
        keys = [key for key in owner if key not in {"resourceType", "id", "url", "modifierExtension"}]
        if keys:
            draw(st.sampled_from(EDITS))(draw, owner, draw(st.sampled_from(keys)))
            out = copy.deepcopy(out)  # nothing is shared between two places
    return _without_empties(out)


def _without_empties(value: Any) -> Any:
    if isinstance(value, dict):
        cleaned = {key: _without_empties(item) for key, item in value.items()}
        return {key: item for key, item in cleaned.items() if item not in ({}, [])}
    if isinstance(value, list):
        return [item for item in map(_without_empties, value) if item not in ({}, [])]
    return value

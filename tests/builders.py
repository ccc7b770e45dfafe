"""Strategies for rows and for resources as other writers send them (used by the laws)."""

from __future__ import annotations

import copy
from collections.abc import Callable
from decimal import Decimal
from typing import Any, ClassVar

from hypothesis import strategies as st

from mappers.lookups import Home, Lookups
from mappers.rows import CustomerProfile, IdentityMapping
from tests.builders_care import CARE_ROWS, HOME_TABLES, AnyTreatment
from tests.builders_hub import HUB_LOOKUPS, HUB_ROWS
from tests.builders_measurements import MEASUREMENT_LOOKUPS, MEASUREMENT_ROWS
from tests.builders_observations import DEVICES, OBSERVATION_ROWS, PATIENTS, TIME_ZONES
from tests.builders_patients import PATIENT_ROWS, AnyClinician, SomeLinks
from tests.builders_programs import CARE_HOMES, PROGRAM_ROWS, PROGRAM_STRATEGIES
from tests.builders_values import (
    CUSTOMERS,
    ORGANIZATION,
    days,
    ids,
    instants,
    json_objects,
    json_values,
    maybe,
    text_arrays,
    texts,
)

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

ROWS: dict[str, st.SearchStrategy[Any]] = {
    "customer_profile": customer_profiles,
    "profile_condition": customer_profiles,
    "profile_allergy": customer_profiles,
    "profile_medication": customer_profiles,
    **CARE_ROWS,
    **PATIENT_ROWS,
    **PROGRAM_STRATEGIES,
    **OBSERVATION_ROWS,
    **MEASUREMENT_ROWS,
    **HUB_ROWS,
}
"""A strategy of rows for each mapper, by the mapper's name."""


class AnyHome(dict[str, Home]):
    """Homes of references that tests make: `Patient/<id>` is the customer of that id, and so on."""

    TABLES: ClassVar[dict[str, str]] = {
        "Patient": "customer_profiles",
        **HOME_TABLES,
        "Organization": "organizations",
    }

    def get(self, key: str, default: Any = None) -> Any:
        resource_type, _, resource_id = key.partition("/")
        if key in self:
            return self[key]
        if key in CARE_HOMES:
            return CARE_HOMES[key]
        if key in PATIENTS:
            return PATIENTS[key]
        if key in DEVICES:
            return DEVICES[key]
        if resource_type not in self.TABLES:
            return default
        return Home(self.TABLES[resource_type], resource_id)


def lookups(**changes: Any) -> Lookups:
    """Lookups that resolve every reference that the mappers render."""
    known = {
        "organization_id": ORGANIZATION,
        "organization_name": "Loop Health",
        "homes": AnyHome(),
        "clinicians": {"dr_smith_123": "Dr. Sarah Smith, MD"},
        "treatments": AnyTreatment(),
        "time_zones": TIME_ZONES,
        "rows": AnyClinician({**HUB_LOOKUPS["rows"], **PROGRAM_ROWS, **MEASUREMENT_LOOKUPS["rows"]}),
        "metrics": MEASUREMENT_LOOKUPS["metrics"],
        "links": SomeLinks(),
        "emr_records": HUB_LOOKUPS["emr_records"],
        "emr_ids": HUB_LOOKUPS["emr_ids"],
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

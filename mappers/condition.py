"""Condition ⇄ `customer_profiles.conditions` (mapping.md "Outside the four", settled §1.10)."""

from __future__ import annotations

from typing import Any, Final

from mappers import systems
from mappers.fields import Context, constant, enrich, field, profile, reference
from mappers.lens import ResourceMapper
from mappers.nodes import Node
from mappers.rows import CustomerProfile
from mappers.text_entries import entries


def _problem_list(_values: tuple[Any, ...], _context: Context) -> Node:
    return [{"coding": [{"system": systems.CONDITION_CATEGORY, "code": "problem-list-item"}]}]


CONDITION: Final = ResourceMapper(
    "Condition",
    table="customer_profiles",
    name="profile_condition",
    row_type=CustomerProfile,
    split=entries("conditions"),
    read_only=True,
    internal_endpoint="/graph/profiles/{id}",
    about="One Condition for each entry of the array; what a customer says, confirmed by nobody.",
    fields=(
        profile(f"{systems.US_CORE}us-core-condition-problems-health-concerns"),
        constant("clinicalStatus", {"coding": [{"system": systems.CONDITION_CLINICAL, "code": "active"}]}),
        constant("verificationStatus", {"coding": [{"system": systems.CONDITION_VERIFICATION, "code": "unconfirmed"}]}),
        enrich((), "category", _problem_list, note="US Core category"),
        field("text", "code.text"),
        reference("id", "subject", "Patient", "customer_profiles"),
    ),
)

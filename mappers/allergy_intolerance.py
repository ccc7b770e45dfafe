"""AllergyIntolerance ⇄ `customer_profiles.allergies` (mapping.md "Outside the four", settled §1.10)."""

from __future__ import annotations

from typing import Final

from mappers import systems
from mappers.fields import constant, field, profile, reference
from mappers.lens import ResourceMapper
from mappers.rows import CustomerProfile
from mappers.text_entries import entries

ALLERGY_INTOLERANCE: Final = ResourceMapper(
    "AllergyIntolerance",
    table="customer_profiles",
    name="profile_allergy",
    row_type=CustomerProfile,
    split=entries("allergies"),
    read_only=True,
    internal_endpoint="/graph/profiles/{id}",
    about="One AllergyIntolerance for each entry of the array; what a customer says, confirmed by nobody.",
    fields=(
        profile(f"{systems.US_CORE}us-core-allergyintolerance"),
        constant("clinicalStatus", {"coding": [{"system": systems.ALLERGY_CLINICAL, "code": "active"}]}),
        constant("verificationStatus", {"coding": [{"system": systems.ALLERGY_VERIFICATION, "code": "unconfirmed"}]}),
        field("text", "code.text"),
        reference("id", "patient", "Patient", "customer_profiles"),
    ),
)

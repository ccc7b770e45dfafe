"""MedicationStatement ⇄ `customer_profiles.medications` (mapping.md "Outside the four", settled §1.10)."""

from __future__ import annotations

from typing import Final

from mappers.fields import constant, reference
from mappers.lens import ResourceMapper
from mappers.medication_names import medication
from mappers.rows import CustomerProfile
from mappers.text_entries import entries

MEDICATION_STATEMENT: Final = ResourceMapper(
    "MedicationStatement",
    table="customer_profiles",
    name="profile_medication",
    row_type=CustomerProfile,
    split=entries("medications"),
    read_only=True,
    internal_endpoint="/graph/profiles/{id}",
    about="One MedicationStatement for each entry of the array, as the customer wrote it.",
    fields=(
        constant("status", "active"),
        medication("text"),
        reference("id", "subject", "Patient", "customer_profiles"),
    ),
)

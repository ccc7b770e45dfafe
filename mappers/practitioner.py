"""Practitioner ⇄ the clinicians that treatments and protocols name (mapping.md "Outside the four").

The patient graph has no table of clinicians: a derived row stands for each `subscriptions.clinician_id` and each
`protocols.created_by`. A name is kept as it was written; it is not taken apart into family and given names.
"""

from __future__ import annotations

from typing import Any, Final

from mappers import isos, systems
from mappers.fields import Context, derived, enrich, field, profile
from mappers.json_values import ABSENT
from mappers.lens import ResourceMapper
from mappers.lookups import Lookups
from mappers.nodes import Node, Slot
from mappers.rows import TreatmentClinician

CLINICIAN_TABLE: Final = "treatment_clinicians"


def clinician_name(clinician_id: str, lookups: Lookups) -> str | None:
    """Return how a reference to a clinician is displayed; None when nothing tells the name."""
    name = lookups.clinicians.get(clinician_id)
    return name if name is not None and isos.fhir_text(name) is not ABSENT else None


def _identifier(values: tuple[Any, ...], _: Context) -> Node:
    words = isos.fhir_text(values[0])
    return {"system": systems.CLINICIAN, "value": words} if words is not ABSENT else ABSENT


def _unknown_family(_values: tuple[Any, ...], _context: Context) -> Node:
    """US Core wants a family name, or the reason why there is none (us_core.md M3)."""
    return [systems.data_absent()]


CLINICIAN: Final = ResourceMapper(
    "Practitioner",
    table=CLINICIAN_TABLE,
    name="treatment_clinician",
    row_type=TreatmentClinician,
    read_only=True,
    internal_endpoint="/graph/treatments",
    about="One Practitioner for each clinician of subscriptions and each author of protocols.",
    slots={"identifier": (Slot("clinician"),), "name": (Slot("known"),)},
    fields=(
        profile(f"{systems.US_CORE}us-core-practitioner"),
        derived(("id",), "identifier[clinician]", _identifier),
        field("name", "name[known].text", note="as written; subscriptions.clinician_name"),
        enrich((), "name[known]._family.extension", _unknown_family, note="data-absent-reason"),
    ),
)

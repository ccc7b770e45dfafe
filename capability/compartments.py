"""Which search parameters put a resource into a compartment (FHIR R4 compartmentdefinition.html)."""

from collections.abc import Mapping
from functools import cache
from typing import Final

from capability.data_files import read_data
from capability.search_parameters import SearchParameter, SearchType, find

PATIENT_COMPARTMENT: Final[Mapping[str, tuple[str, ...]]] = {
    name: tuple(codes) for name, codes in read_data("compartment_patient.json").items() if name != "Patient"
} | {"Device": ("patient",)}
"""Per resource type the codes of the parameters that refer to the compartment's patient.

Patient is left out: its own compartment holds a Patient by identity alone. The published definition adds
`Patient.link`, which would show one patient's record to another whom somebody linked to it. Device is added: the
published definition leaves it out, yet a patient's device is the patient's own (settled §4.4).
"""


def in_patient_compartment(resource_type: str) -> bool:
    """Say whether resources of this type can belong to a patient's compartment."""
    return resource_type == "Patient" or resource_type in PATIENT_COMPARTMENT


OTHER_COMPARTMENTS: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    owner: {name: tuple(codes) for name, codes in rows.items()}
    for owner, rows in read_data("compartments.json").items()
}
"""The compartments of Device, Encounter, Practitioner and RelatedPerson: ways to search, without any part in access."""

COMPARTMENTS: Final = ("Patient", *OTHER_COMPARTMENTS)
"""The types whose resources have a compartment."""
_OWNER: Final = "{def}"
"""Stands for the owner itself in the published definitions."""


@cache
def types_within(owner: str) -> tuple[str, ...]:
    """Return the types that can lie in a compartment of the type `owner`; empty for a type that has none."""
    if owner == "Patient":
        return tuple(sorted({"Patient", *PATIENT_COMPARTMENT}))
    within = OTHER_COMPARTMENTS.get(owner, {})
    return tuple(sorted(name for name in within if name == owner or compartment_parameters(owner, name)))


@cache
def compartment_parameters(owner: str, resource_type: str) -> tuple[SearchParameter, ...]:
    """Return the reference parameters that put a type into a compartment other than Patient's.

    What the definition names and no parameter served answers is left out.
    """
    codes = OTHER_COMPARTMENTS[owner].get(resource_type, ())
    found = (find(resource_type, code) for code in codes if code != _OWNER)
    return tuple(each for each in found if each and each.type is SearchType.REFERENCE and each.permits(owner))

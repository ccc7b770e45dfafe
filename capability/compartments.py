"""Which search parameters put a resource into the compartment of a patient (CompartmentDefinition/patient)."""

from collections.abc import Mapping
from typing import Final

from capability.data_files import read_data

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

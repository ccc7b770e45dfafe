"""Invariants of R4 types: their keys and texts (hl7.fhir.r4.core; `scripts/generate_validation.py` writes the data)."""

from collections.abc import Mapping
from typing import Final

from capability.data_files import read_data

INVARIANTS: Final[Mapping[str, Mapping[str, str]]] = read_data("validation_rules.json")
"""Per element path (`Patient.contact`) the text of each invariant of severity `error`, by its key (`pat-1`)."""

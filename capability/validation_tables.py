"""Data of the write boundary (hl7.fhir.r4.core; `scripts/generate_validation.py` writes it)."""

from collections.abc import Mapping
from typing import Final

from capability.bindings import REQUIRED, Binding
from capability.data_files import read_data

INVARIANTS: Final[Mapping[str, Mapping[str, str]]] = read_data("validation_rules.json")
"""Per element path (`Patient.contact`) the text of each invariant of severity `error`, by its key (`pat-1`)."""

BINDINGS: Final[Mapping[str, Binding]] = {
    **REQUIRED,
    **{
        path: Binding(row["valueSet"], {"": frozenset(row["codes"])})
        for path, row in read_data("validation_bindings.json").items()
    },
}
"""Every required binding that is checked on writes: those of `capability.bindings`, and of more types."""

SIMPLE_QUANTITIES: Final[frozenset[str]] = frozenset(read_data("validation_simple_quantities.json"))
"""Paths of elements whose Quantity has no comparator (datatypes.html#SimpleQuantity)."""

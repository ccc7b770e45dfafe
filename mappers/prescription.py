"""What MedicationRequest and MedicationDispense show alike of a row of `patient_prescriptions`."""

from __future__ import annotations

from typing import Any, Final

from mappers import doses, isos, systems
from mappers.fields import Context
from mappers.json_values import ABSENT, Json
from mappers.nodes import Node, Whole

PRESCRIPTION_TABLE: Final = "patient_prescriptions"


def show_quantity(values: tuple[Any, ...], _: Context) -> tuple[Node]:
    """Show how much is dispensed; text that does not begin with a number stays internal."""
    node = doses.quantity(values[0])
    return (node if node is ABSENT else Whole(node, values[0]),)


def show_pharmacy(values: tuple[Any, ...], _: Context) -> tuple[Node]:
    """Show pharmacy id and name as a logical reference."""
    key, name = (ABSENT if value is None else isos.fhir_text(value) for value in values)
    node: dict[str, Json] = {}
    if key is not ABSENT:
        node["identifier"] = {"system": systems.PHARMACY, "value": key}
    if name is not ABSENT:
        node["display"] = name
    return (Whole(node, list(values)) if node else ABSENT,)


def show_dosage(values: tuple[Any, ...], context: Context) -> tuple[Node]:
    """Show the dosage as text, and as a dose where the text is one and FHIR did not write it."""
    words = isos.fhir_text(values[0])
    if words is ABSENT:
        return (ABSENT,)
    amount = ABSENT if context.bare else doses.dose(values[0])
    coded = {} if amount is ABSENT else {"doseAndRate": [{"doseQuantity": amount}]}
    return (Whole([{"text": words, **coded}], values[0]),)

"""MedicationDispense ⇄ the shipment of a row of `patient_prescriptions` (mapping.md MedicationRequest)."""

from __future__ import annotations

from typing import Any, Final

from mappers import isos, systems
from mappers.fields import Context, Field, derived, enrich, field, reference
from mappers.json_values import ABSENT
from mappers.lens import ResourceMapper
from mappers.medication_names import medication
from mappers.nodes import Node, Slot, Whole
from mappers.prescription import PRESCRIPTION_TABLE, show_dosage, show_pharmacy, show_quantity
from mappers.rows import PatientPrescription

STATUSES: Final = {
    "pending": "in-progress",
    "processing": "in-progress",
    "transmitted": "in-progress",
    "shipped": "in-progress",
    "delivered": "completed",
    "failed": "stopped",
    "cancelled": "cancelled",
}


def _is_dispensed(row: PatientPrescription) -> bool:
    """Whether anything was ever sent to the customer."""
    return row.shipped_at is not None or row.delivered_at is not None or row.status in {"shipped", "delivered"}


def _status(values: tuple[Any, ...], _: Context) -> Node:
    return STATUSES[values[0]]


def _prepared(values: tuple[Any, ...], _: Context) -> Node:
    """Show the shipment, unless it lies after the delivery (FHIR R4 invariant mdd-1)."""
    shipped, delivered = values
    if shipped is None or (delivered is not None and delivered < shipped):
        return ABSENT
    return isos.instant_text(shipped)


def _us_core(values: tuple[Any, ...], _: Context) -> Node:
    """US Core wants to know when a completed dispense was handed over (us-core-20)."""
    row_status, delivered = values
    if STATUSES[row_status] == "completed" and delivered is None:
        return ABSENT
    return [f"{systems.US_CORE}us-core-medicationdispense"]


def _request(values: tuple[Any, ...], context: Context) -> Node:
    return {"reference": context.lookups.reference("MedicationRequest", PRESCRIPTION_TABLE, values[0])}


def _performer(values: tuple[Any, ...], context: Context) -> Node:
    (pharmacy,) = show_pharmacy(values, context)
    return [{"actor": pharmacy.value}] if isinstance(pharmacy, Whole) else ABSENT


def _tracking(values: tuple[Any, ...], _: Context) -> Node:
    words = ABSENT if values[0] is None else isos.fhir_text(values[0])
    return {"system": systems.SHIPMENT, "value": words} if words is not ABSENT else ABSENT


def _dosage() -> Field:
    return derived(("dosage",), "dosageInstruction", lambda values, context: show_dosage(values, context)[0])


def _quantity() -> Field:
    return derived(("quantity",), "quantity", lambda values, context: show_quantity(values, context)[0])


DISPENSE: Final = ResourceMapper(
    "MedicationDispense",
    table=PRESCRIPTION_TABLE,
    name="prescription_dispense",
    row_type=PatientPrescription,
    applies=_is_dispensed,
    read_only=True,
    internal_endpoint="/graph/prescriptions/{id}",
    about="One MedicationDispense for each prescription that was shipped or delivered.",
    slots={"identifier": (Slot("shipment"),), "authorizingPrescription": (Slot("prescription"),)},
    fields=(
        enrich(("status", "delivered_at"), "meta.profile", _us_core),
        derived(("tracking_number",), "identifier[shipment]", _tracking, note="tracking number"),
        derived(("status",), "status", _status, note=", ".join(f"{row} → {code}" for row, code in STATUSES.items())),
        medication("medication_name"),
        reference("customer_id", "subject", "Patient", "customer_profiles"),
        derived(("pharmacy_id", "pharmacy_name"), "performer", _performer, note="pharmacy"),
        derived(("id",), "authorizingPrescription[prescription]", _request),
        _quantity(),
        derived(
            ("shipped_at", "delivered_at"), "whenPrepared", _prepared, note="shipped_at, if not after delivered_at"
        ),
        field("delivered_at", "whenHandedOver", isos.instant),
        _dosage(),
    ),
)

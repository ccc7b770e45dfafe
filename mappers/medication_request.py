"""MedicationRequest ⇄ `patient_prescriptions` (mapping.md MedicationRequest).

A prescription belongs to a treatment, so only a request that is based on the CarePlan of one of the same customer's
subscriptions, and that has an order number, is claimed; any other is native.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

from mappers import doses, isos, systems
from mappers.errors import Refusal
from mappers.fields import (
    Context,
    Field,
    derived,
    enrich,
    field,
    fixed,
    lens,
    profile,
    reference,
    reference_needs,
    status,
    unknown_without,
)
from mappers.json_values import ABSENT, Json
from mappers.lens import ResourceMapper, Shows
from mappers.lookups import CLINICIAN, TREATMENT, Lookups, Need
from mappers.medication_names import medication
from mappers.nodes import Node, Slot, Whole
from mappers.practitioner import CLINICIAN_TABLE, clinician_name
from mappers.prescription import PRESCRIPTION_TABLE, show_dosage, show_pharmacy, show_quantity
from mappers.rows import PatientPrescription

STATUSES: Final = isos.status_table(
    {
        "pending": "active",
        "processing": "active",
        "transmitted": "active",
        "shipped": "active",
        "delivered": "completed",
        "failed": "stopped",
        "cancelled": "cancelled",
    },
    {"active": "pending"},
)
TREATMENT_TABLE: Final = "subscriptions"


def _is_reference(element: Json) -> bool:
    return isinstance(element, dict) and isinstance(element.get("reference"), str)


def _home(value: Json, table: str, lookups: Lookups) -> str | None:
    home = lookups.homes.get(value["reference"]) if _is_reference(value) else None
    return home.key if home is not None and home.table == table else None


def _parties(context: Context) -> tuple[str, str]:
    """Return the customer and the treatment of the written request, the current ones where it does not say.

    Raises Refusal when either is unknown, or when the treatment is another customer's.
    """
    written, view = context.written, context.view
    customer = _home(written.get("subject"), "customer_profiles", context.lookups)
    if "subject" not in written and view is not None:
        customer = view.customer_id
    based_on = written.get("basedOn", [])
    treatments = (_home(element, TREATMENT_TABLE, context.lookups) for element in based_on)
    treatment = next((key for key in treatments if key is not None), None)
    if not any(map(_is_care_plan, based_on)) and view is not None:
        treatment = view.treatment_id
    if customer is None:
        raise Refusal("refers to nothing in customer_profiles", final=True)
    if treatment is None:
        raise Refusal("refers to no treatment in subscriptions", final=True)
    known = context.lookups.treatments.get(treatment)
    if known is None or known.customer_id != customer:
        raise Refusal("refers to a treatment of another customer", final=True)
    return customer, treatment


def _subject() -> Field:
    shown = reference("customer_id", "subject", "Patient", "customer_profiles", needed=True)
    return replace(shown, take=lambda _, context: (_parties(context)[0],))


def _is_care_plan(element: Json) -> bool:
    return _is_reference(element) and "CarePlan/" in element["reference"]


def _based_on() -> Field:
    def show(values: tuple[Any, ...], context: Context) -> tuple[Node]:
        literal = context.lookups.reference("CarePlan", TREATMENT_TABLE, values[0])
        return ([Whole({"reference": literal}, literal)],)

    def take(_: tuple[Json, ...], context: Context) -> tuple[str]:
        return (_parties(context)[1],)

    def needs(found: tuple[Json, ...]) -> Iterable[Need]:
        return reference_needs(tuple(found[0])) if found[0] is not ABSENT else ()

    note = "CarePlan of the treatment, which must be the same customer's"
    return lens(("treatment_id",), ("basedOn[treatment]",), show, take, needed=True, needs=needs, note=note)


def _requester(values: tuple[Any, ...], context: Context) -> Node:
    """Show the clinician of the treatment."""
    treatment = context.lookups.treatments.get(values[0])
    if treatment is None or treatment.clinician_id is None:
        return ABSENT
    literal = context.lookups.reference("Practitioner", CLINICIAN_TABLE, treatment.clinician_id)
    name = clinician_name(treatment.clinician_id, context.lookups)
    return Whole({"reference": literal, "display": name} if name else {"reference": literal}, literal)


def _nobody_known(values: tuple[Any, ...], context: Context) -> Node:
    """US Core wants whoever requested an order, or the reason why nobody is named (us-core-21)."""
    return [systems.data_absent()] if _requester(values, context) is ABSENT else ABSENT


def _failure(values: tuple[Any, ...], _: Context) -> Node:
    return {"text": "Transmission failed"} if values[0] == "failed" else ABSENT


def _instruction(dosage: Json) -> str:
    """Return one written Dosage as text; raises Refusal when it says neither text nor dose."""
    words = dosage.get("text") if isinstance(dosage, dict) else None
    if isinstance(words, str):
        return words
    rates = dosage.get("doseAndRate", []) if isinstance(dosage, dict) else []
    amounts = (doses.amount_text(rate.get("doseQuantity")) for rate in rates if isinstance(rate, dict))
    amount = next((text for text in amounts if text is not None), None)
    if amount is None:
        raise Refusal("says no dosage in words")
    return amount


def _take_dosage(found: tuple[Json, ...], _: Context) -> tuple[str]:
    """Take all instructions, one after the other: a pharmacy must not see the first one alone."""
    if not isinstance(found[0], list):
        raise Refusal("is not a list")
    return ("; ".join(map(_instruction, found[0])),)


def _take_quantity(found: tuple[Json, ...], _: Context) -> tuple[Json]:
    return (doses.amount_of(found[0]),)


def _take_pharmacy(found: tuple[Json, ...], _: Context) -> tuple[str | None, str | None]:
    performer = found[0] if isinstance(found[0], dict) else {}
    identifier = performer.get("identifier", {})
    key = identifier.get("value") if identifier.get("system") == systems.PHARMACY else None
    return key, performer.get("display")


def _refuses(resource: Json, _: Lookups) -> str | None:
    if resource.get("doNotPerform") is True:
        return "MedicationRequest.doNotPerform: patient_prescriptions cannot say that something is not to be taken"
    return None


PRESCRIPTION: Final = ResourceMapper(
    "MedicationRequest",
    table=PRESCRIPTION_TABLE,
    name="prescription",
    row_type=PatientPrescription,
    internal_endpoint="/graph/prescriptions",
    shows=(
        Shows("treatment_id", TREATMENT_TABLE, uses=("customer_id", "clinician_id"), by=TREATMENT),
        Shows("clinician_id", CLINICIAN_TABLE, of=TREATMENT_TABLE, uses=("name",), by=CLINICIAN),
    ),
    together=(("medication",), ("status",)),
    refuses=_refuses,
    about="Claimed with an order number and a treatment of the same customer. Shipment shows as MedicationDispense.",
    slots={
        "identifier": (Slot("order", {"system": systems.RIMO_ORDER}),),
        "basedOn": (Slot("treatment", many=True, accepts=_is_care_plan),),
        "dispenseRequest.extension": (Slot("refill", {"url": systems.NEXT_REFILL}),),
    },
    fields=(
        profile(f"{systems.US_CORE}us-core-medicationrequest"),
        field("rimo_order_id", "identifier[order].value", needed=True, note="order number at Rimo"),
        _based_on(),
        status("status", "status", STATUSES),
        derived(("status",), "statusReason", _failure, note="of a failed transmission"),
        fixed("intent", "order"),
        medication("medication_name"),
        _subject(),
        field("prescribed_date", "authoredOn", isos.instant),
        unknown_without("prescribed_date", "_authoredOn"),
        derived(("treatment_id",), "requester", _requester, note="clinician of the treatment"),
        enrich(("treatment_id",), "requester.extension", _nobody_known, note="data-absent-reason"),
        lens(
            ("dosage",),
            ("dosageInstruction",),
            show_dosage,
            _take_dosage,
            needed=True,
            note="text of all instructions; dose where the text is one",
        ),
        field("next_refill_date", "dispenseRequest.extension[refill].valueDateTime", isos.instant),
        field("refills", "dispenseRequest.numberOfRepeatsAllowed", isos.Iso(doses.repeats, doses.repeats_of)),
        lens(
            ("quantity",), ("dispenseRequest.quantity",), show_quantity, _take_quantity, note="number, unit as written"
        ),
        lens(
            ("pharmacy_id", "pharmacy_name"),
            ("dispenseRequest.performer",),
            show_pharmacy,
            _take_pharmacy,
            note="logical reference",
        ),
    ),
)

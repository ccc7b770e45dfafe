"""MedicationRequest ⇄ `patient_medications` of the care platform (mapping.md MedicationRequest).

A row with a prescriber is an order; without one it is what the patient says to take, a plan that was reported. A
request of another intent, or of a status that the table lacks, is native.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from mappers import doses, isos, systems
from mappers.annotations import notes
from mappers.care_dosage import dosage_instruction
from mappers.care_practitioner import CLINICIANS, clinician_reference, clinician_shown
from mappers.care_rows import PatientMedication
from mappers.enrollments import ENROLLMENT_TABLE, PATIENT_TABLE
from mappers.errors import Refusal
from mappers.fields import Context, Field, field, lens, profile, reference_needs, status, unknown_without
from mappers.json_values import ABSENT, Json
from mappers.lens import ResourceMapper
from mappers.lookups import Lookups, Need
from mappers.medication_names import UNKNOWN, concept, concept_name
from mappers.nodes import Node, Slot, Whole
from mappers.prescription import show_quantity

MEDICATION_TABLE: Final = "patient_medications"
STATUSES: Final = isos.status_table(
    {
        "ACTIVE": "active",
        "PAUSED": "on-hold",
        "COMPLETED": "completed",
        "DISCONTINUED": "stopped",
        "ENTERED_IN_ERROR": "entered-in-error",
    }
)


def _reference(element: Json) -> str:
    literal = element.get("reference") if isinstance(element, dict) else None
    return literal if isinstance(literal, str) else ""


def _home(element: Json, table: str, lookups: Lookups) -> str | None:
    """Return the key of the row of `table` that a reference leads to."""
    home = lookups.homes.get(_reference(element))
    return home.key if home is not None and home.table == table else None


# ---- whose, and within which program ---------------------------------------------------------------------------------


def _is_care_plan(element: Json) -> bool:
    return "CarePlan/" in _reference(element)


def _parties() -> Field:
    """The patient, and the enrollment, which is taken only if it is the same patient's."""

    def show(values: tuple[Any, ...], context: Context) -> tuple[Node, Node]:
        patient, enrollment = values
        literal = context.lookups.reference("Patient", PATIENT_TABLE, patient)
        subject = Whole({"reference": literal}, literal)
        if enrollment is None:
            return subject, ABSENT
        plan = context.lookups.reference("CarePlan", ENROLLMENT_TABLE, enrollment)
        return subject, [Whole({"reference": plan}, plan)]

    def take(found: tuple[Json, ...], context: Context) -> tuple[str, str | None]:
        view, (subject, based_on) = context.view, found
        patient = _home(subject, PATIENT_TABLE, context.lookups)
        if subject is ABSENT and view is not None:
            patient = view.patient_id
        if patient is None:
            raise Refusal(f"refers to nothing in {PATIENT_TABLE}", final=True)
        if view is not None and patient != view.patient_id:
            raise Refusal("is another patient than the medication's", final=True)
        plans = (_home(element, ENROLLMENT_TABLE, context.lookups) for element in based_on or ())
        return patient, next((key for key in plans if _is_of(key, patient, context.lookups)), None)

    def needs(found: tuple[Json, ...]) -> Iterable[Need]:
        subject, based_on = found
        return reference_needs((subject, *(based_on or ())))

    note = "Patient of patients; CarePlan of the enrollment, which must be the same patient's"
    columns, paths = ("patient_id", "enrollment_id"), ("subject", "basedOn[enrollment]")
    sources = (("patient_id",), ("enrollment_id",))
    return lens(columns, paths, show, take, needed=True, needs=needs, note=note, sources=sources)


def _is_of(enrollment: str | None, patient: str, lookups: Lookups) -> bool:
    row = lookups.row(ENROLLMENT_TABLE, enrollment)
    return row is not None and row.patient_id == patient


# ---- who prescribed ------------------------------------------------------------------------------------------------


def _prescriber() -> Field:
    """Order and requester where there is a prescriber, else a plan that was reported.

    A written plan has no prescriber, whoever requested it; an order of somebody who is no clinician row keeps intent
    and requester in the residual.
    """

    def show(values: tuple[Any, ...], context: Context) -> tuple[Node, Node, Node]:
        if values[0] is None:
            return "plan", ABSENT, True
        return "order", clinician_reference(values[0], context.lookups), ABSENT

    def take(found: tuple[Json, ...], context: Context) -> tuple[str | None]:
        intent, requester, _ = found
        if intent not in {"order", "plan"}:
            raise Refusal("is neither order nor plan", final=True)
        return (_home(requester, CLINICIANS, context.lookups) if intent == "order" else None,)

    def needs(found: tuple[Json, ...]) -> Iterable[Need]:
        return reference_needs(found[1:2])

    note = "order of the clinician; plan, reported, where nobody prescribed it"
    paths = ("intent", "requester", "reportedBoolean")
    return lens(("prescriber_id",), paths, show, take, needs=needs, note=note, always=True)


# ---- what ----------------------------------------------------------------------------------------------------------


def _medication() -> Field:
    """Name and RxNorm code; where the column has no code, the table's for the name, as enrichment."""

    def show(values: tuple[Any, ...], context: Context) -> tuple[Node]:
        name, code = values
        shown = concept(name, bare=context.bare or code is not None)
        node: dict[str, Json] = {} if shown is ABSENT else shown
        if isos.is_code(code):
            node = {"coding": [{"system": systems.RXNORM, "code": code}], **node}
        return (Whole(node or UNKNOWN, [name, code]),)

    def take(found: tuple[Json, ...], context: Context) -> tuple[str, str | None]:
        code = _rx_norm(found[0])
        name = concept_name(found[0])
        if name is None:
            raise Refusal("names no medication", final=True)
        view = context.view
        if code is None and view is not None and view.rx_norm_code is not None and not isos.is_code(view.rx_norm_code):
            code = view.rx_norm_code  # never shown, hence not dropped
        return name, code

    note = "text and RxNorm code; without one, the code where the table knows the name"
    return lens(("drug_name", "rx_norm_code"), ("medicationCodeableConcept",), show, take, needed=True, note=note)


def _rx_norm(value: Json) -> str | None:
    """Return the RxNorm code of a written concept; one that its writer chose counts first."""
    codings = value.get("coding", []) if isinstance(value, dict) else []
    known = [one for one in codings if isinstance(one, dict) and one.get("system") == systems.RXNORM]
    chosen = sorted(known, key=lambda one: one.get("userSelected") is not True)
    return next((one["code"] for one in chosen if isos.is_code(one.get("code"))), None)


def _quantity() -> Field:
    def take(found: tuple[Json, ...], _: Context) -> tuple[Json]:
        return (doses.amount_of(found[0]),)

    note = "number, unit as written"
    return lens(("quantity",), ("dispenseRequest.quantity",), show_quantity, take, note=note)


def _until() -> Field:
    """The last day, as the end of the period in which the medication may be dispensed."""

    def show(values: tuple[Any, ...], _: Context) -> tuple[Node]:
        if values[0] is None:
            return (ABSENT,)
        end = isos.day_of.forwards(values[0])
        return (Whole({"end": end}, end),)

    def take(found: tuple[Json, ...], _: Context) -> tuple[Any]:
        if not isinstance(found[0], dict):
            raise Refusal("is no period")
        return (isos.day_of.backwards(found[0].get("end")),)

    return lens(("end_date",), ("dispenseRequest.validityPeriod",), show, take, note=f"its end; {isos.day_of.note}")


def _refuses(resource: Json, _: Lookups) -> str | None:
    if resource.get("doNotPerform") is True:
        return f"MedicationRequest.doNotPerform: {MEDICATION_TABLE} cannot say that something is not to be taken"
    return None


CARE_MEDICATION: Final = ResourceMapper(
    "MedicationRequest",
    table=MEDICATION_TABLE,
    name="patient_medication",
    row_type=PatientMedication,
    internal_endpoint="/care/patients/{id}/medications",
    about="Claimed for a patient with intent order or plan and the medication as a concept with a name.",
    shows=(clinician_shown("prescriber_id"),),
    together=(("medication",), ("status",), ("reported",)),
    refuses=_refuses,
    slots={"basedOn": (Slot("enrollment", many=True, accepts=_is_care_plan),)},
    fields=(
        profile(f"{systems.US_CORE}us-core-medicationrequest"),
        status("status", "status", STATUSES),
        _prescriber(),
        unknown_without("prescriber_id", "requester"),
        _medication(),
        _parties(),
        field("start_date", "authoredOn", isos.day_of),
        unknown_without("start_date", "_authoredOn"),
        dosage_instruction(),
        field("refills", "dispenseRequest.numberOfRepeatsAllowed", isos.Iso(doses.repeats, doses.repeats_of)),
        _quantity(),
        _until(),
        notes(),
    ),
)

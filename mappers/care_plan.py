"""CarePlan ⇄ `protocols` and CarePlan ⇄ `subscriptions`, the treatments (mapping.md CarePlan).

The two are told apart by a category of this server and by the intent: a protocol is a plan, a treatment an order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from mappers import isos, systems
from mappers.annotations import notes
from mappers.compounds import COMPOUNDS, compounds, dosage_text, is_shown
from mappers.errors import Refusal
from mappers.fields import (
    Context,
    Field,
    constant,
    derived,
    enrich,
    field,
    fixed,
    lens,
    profile,
    reference,
    reference_needs,
    status,
)
from mappers.goal import GOALS, PROTOCOL_TABLE, goal_references, goal_texts
from mappers.json_values import ABSENT, Json
from mappers.lens import ResourceMapper, Shows
from mappers.lookups import CLINICIAN, Lookups
from mappers.narrative import narrative
from mappers.nodes import Node, Slot, Whole, contains
from mappers.plan_periods import ended, protocol_period, treatment_period
from mappers.practitioner import CLINICIAN_TABLE, clinician_name
from mappers.prescription import PRESCRIPTION_TABLE
from mappers.rows import Protocol, Subscription

PROTOCOL_STATUSES: Final = isos.status_table(
    {"active": "active", "paused": "on-hold", "completed": "completed", "cancelled": "revoked"}
)
TREATMENT_STATUSES: Final = isos.status_table(
    {
        "pending": "draft",
        "approved": "active",
        "active": "active",
        "paused": "on-hold",
        "completed": "completed",
        "rejected": "revoked",
        "cancelled": "revoked",
    },
    {"active": "active", "revoked": "cancelled"},
)
PRODUCT_STATUSES: Final = {
    "pending": "not-started",
    "approved": "scheduled",
    "active": "in-progress",
    "paused": "on-hold",
    "completed": "completed",
    "rejected": "cancelled",
    "cancelled": "stopped",
}
"""Treatment status → status of the activity that names the product."""
PRODUCT_CODING: Final = {"system": systems.PRODUCT}


# ---- what both have ------------------------------------------------------------------------------------------------


def _category(code: str) -> dict[str, Json]:
    return {"coding": [{"system": systems.CARE_PLAN_CATEGORY, "code": code}]}


ASSESS: Final = {"coding": [{"system": systems.US_CORE_CARE_PLAN_CATEGORY, "code": "assess-plan"}]}


def _other_category(code: str) -> Callable[[Json, Lookups], str | None]:
    """Refuse a plan that says it is of the other kind."""

    def refuses(resource: Json, _: Lookups) -> str | None:
        if any(contains(category, _category(code)) for category in resource.get("category", [])):
            return f"CarePlan.category says that it is a {code}"
        return None

    return refuses


def _assess() -> Field:
    return enrich((), "category[assess]", lambda _values, _context: ASSESS, note="US Core category")


def _text(value: str | None) -> str | None:
    """Return a column's text if FHIR can show it."""
    return value if value is not None and isos.fhir_text(value) is not ABSENT else None


# ---- protocols -----------------------------------------------------------------------------------------------------


def _goals(values: tuple[Any, ...], context: Context) -> Node:
    return goal_references(PROTOCOL_TABLE, context.view.id, goal_texts(values[0]))


def _protocol_narrative(values: tuple[Any, ...], _: Context) -> Node:
    name, description, listed, notes = values
    shown = [compound for compound in listed if is_shown(compound)] if isinstance(listed, list) else []
    items = [" ".join(filter(None, (one["name"], dosage_text(one), _frequency(one)))) for one in shown]
    return narrative(_text(name) or "Protocol", (description, notes), items)


def _frequency(compound: Json) -> str | None:
    words = compound.get("frequency")
    return words if isinstance(words, str) else None


PROTOCOL: Final = ResourceMapper(
    "CarePlan",
    table=PROTOCOL_TABLE,
    name="protocol",
    row_type=Protocol,
    internal_endpoint="/graph/protocols",
    shows=(Shows("created_by", CLINICIAN_TABLE, uses=("name",), by=CLINICIAN),),
    refuses=_other_category("treatment"),
    about="A plan for a customer with a title; a plan of intent order, or of category treatment, is none.",
    slots={
        "category": (Slot("assess", ASSESS), Slot("kind", _category("protocol"))),
        "activity": (COMPOUNDS,),
        "goal": (GOALS,),
    },
    fields=(
        profile(f"{systems.US_CORE}us-core-careplan"),
        enrich(("name", "description", "compounds", "notes"), "text", _protocol_narrative, note="generated narrative"),
        status("status", "status", PROTOCOL_STATUSES),
        fixed("intent", "plan"),
        _assess(),
        constant("category[kind]", _category("protocol"), note="of this server"),
        field("name", "title", needed=True),
        field("description", "description"),
        reference("customer_id", "subject", "Patient", "customer_profiles", needed=True),
        derived(
            ("completed_at", "cancelled_at"),
            "period.end",
            ended,
            note="where end_date is NULL",
            also=("end_date", "start_date"),
        ),
        protocol_period(),
        reference("created_by", "author", "Practitioner", CLINICIAN_TABLE, display=clinician_name),
        derived(("goals",), "goal[goals]", _goals, note="Goals of it"),
        compounds(),
        notes(),
    ),
)


# ---- subscriptions -------------------------------------------------------------------------------------------------


def _names() -> Field:
    """Offering and product: the title is the offering's name where there is one, the description the product's."""

    def show(values: tuple[Any, ...], _: Context) -> tuple[Node, Node]:
        offering, product = values
        description = isos.fhir_text(product)
        return (description if _text(offering) is None else isos.fhir_text(offering)), description

    def take(found: tuple[Json, ...], context: Context) -> tuple[str | None, str]:
        title, description = (None if value is ABSENT else isos.column_text(value) for value in found)
        view = context.view
        product = description or (view.product_name if view is not None else title)
        if product is None:
            raise Refusal("names no product", final=True)
        was_offering = view is not None and view.offering_name == title
        return (None if title == product and not was_offering else title), product

    note = "title: the offering, else the product; description: the product"
    return lens(("offering_name", "product_name"), ("title", "description"), show, take, needed=True, note=note)


def _is_product(activity: Json) -> bool:
    detail = activity.get("detail") if isinstance(activity, dict) else None
    product = detail.get("productCodeableConcept") if isinstance(detail, dict) else None
    codings = product.get("coding", []) if isinstance(product, dict) else []
    return any(contains(coding, PRODUCT_CODING) for coding in codings)


def _product() -> Field:
    def show(values: tuple[Any, ...], _: Context) -> tuple[Node]:
        if not isos.is_code(values[0]):
            return (ABSENT,)
        return (Whole({"coding": [{**PRODUCT_CODING, "code": values[0]}]}, values[0]),)

    def take(found: tuple[Json, ...], _: Context) -> tuple[str]:
        coding: Json = next((one for one in found[0].get("coding", []) if contains(one, PRODUCT_CODING)), {})
        if not isos.is_code(coding.get("code")):
            raise Refusal("has no product code", final=True)
        return (coding["code"],)

    path = "activity[product].detail.productCodeableConcept"
    return lens(("product_id",), (path,), show, take, needed=True, note="product code of this server")


def _product_status(values: tuple[Any, ...], _: Context) -> Node:
    product, row_status = values
    return PRODUCT_STATUSES[row_status] if isos.is_code(product) else ABSENT


def _clinician() -> Field:
    def show(values: tuple[Any, ...], context: Context) -> tuple[Node]:
        key, name = values
        node: dict[str, Json] = {}
        if key is not None:
            node["reference"] = context.lookups.reference("Practitioner", CLINICIAN_TABLE, key)
        if _text(name) is not None:
            node["display"] = isos.fhir_text(name)
        return (Whole(node, [key, name]) if node else ABSENT,)

    def take(found: tuple[Json, ...], context: Context) -> tuple[str | None, str | None]:
        display = found[0].get("display")
        if "reference" not in found[0]:
            return None, display
        home = context.lookups.homes.get(found[0]["reference"])
        if home is None or home.table != CLINICIAN_TABLE:
            raise Refusal(f"refers to nothing in {CLINICIAN_TABLE}")
        return home.key, display or context.lookups.clinicians.get(home.key)

    note = "clinician, by name where there is no id"
    return lens(("clinician_id", "clinician_name"), ("author",), show, take, needs=reference_needs, note=note)


def _prescriptions(values: tuple[Any, ...], context: Context) -> Node:
    refer = context.lookups.reference
    literals = [refer("MedicationRequest", PRESCRIPTION_TABLE, prescription.id) for prescription in values[0]]
    return [Whole({"reference": {"reference": literal}}, literal) for literal in literals] or ABSENT


def _is_reference(activity: Json) -> bool:
    return isinstance(activity, dict) and "reference" in activity


def _treatment_narrative(values: tuple[Any, ...], _: Context) -> Node:
    offering, product, clinician, notes = values
    title = _text(offering) or _text(product) or "Treatment"
    return narrative(title, (product if product != title else None, clinician, notes))


TREATMENT: Final = ResourceMapper(
    "CarePlan",
    table="subscriptions",
    name="treatment",
    row_type=Subscription,
    internal_endpoint="/graph/treatments",
    children=(PRESCRIPTION_TABLE,),
    lookups=(CLINICIAN,),
    refuses=_other_category("protocol"),
    about="Claimed with intent order, the category treatment of this server, and an activity that names the product.",
    slots={
        "identifier": (Slot("rimo", {"system": systems.RIMO_TREATMENT}),),
        "category": (Slot("assess", ASSESS), Slot("kind", _category("treatment"))),
        "activity": (Slot("product", accepts=_is_product), Slot("prescriptions", many=True, accepts=_is_reference)),
    },
    fields=(
        profile(f"{systems.US_CORE}us-core-careplan"),
        enrich(
            ("offering_name", "product_name", "clinician_name", "notes"),
            "text",
            _treatment_narrative,
            note="generated narrative",
        ),
        field("rimo_treatment_id", "identifier[rimo].value", note="treatment id at Rimo"),
        status("status", "status", TREATMENT_STATUSES),
        fixed("intent", "order"),
        _assess(),
        fixed("category[kind]", _category("treatment"), note="of this server"),
        _names(),
        reference("customer_id", "subject", "Patient", "customer_profiles", needed=True),
        treatment_period(),
        _clinician(),
        _product(),
        derived(("product_id", "status"), "activity[product].detail.status", _product_status),
        derived(("patient_prescriptions",), "activity[prescriptions]", _prescriptions, note="MedicationRequests of it"),
        notes(),
    ),
)

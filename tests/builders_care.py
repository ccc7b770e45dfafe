"""Strategies for rows of treatments, prescriptions and protocols, and of what is derived from them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from mappers.device import device_columns, device_key
from mappers.lookups import Treatment
from mappers.rows import (
    Organization,
    PatientPrescription,
    Protocol,
    Subscription,
    TreatmentClinician,
    WearableDevice,
)
from tests.builders_values import (
    CUSTOMERS,
    ORGANIZATION,
    days,
    ids,
    instants,
    json_objects,
    json_values,
    maybe,
    numbers,
    texts,
)

CLINICIANS = ("dr_smith_123", "np-jones-7", "30b8ac4f-3b6b-4ad2-8bd5-2b5d3f7c8a11")

devices = st.builds(
    device_key, customer_id=st.sampled_from(CUSTOMERS), source=texts, device_type=maybe(texts), device_id=maybe(texts)
).map(lambda key: WearableDevice(key, ORGANIZATION, **device_columns(key)))

clinicians = st.builds(TreatmentClinician, id=ids, organization_id=st.just(ORGANIZATION), name=maybe(texts))

organizations = st.builds(
    Organization,
    id=ids,
    name=texts,
    type=maybe(st.one_of(st.sampled_from(["HOSPITAL", "clinic ", "PAYER"]), texts)),
    domain=maybe(texts),
    email=maybe(texts),
    phone=maybe(texts),
    address=maybe(texts),
    website=maybe(texts),
    is_active=st.booleans(),
)

customer = st.just(CUSTOMERS[0])
names = st.one_of(
    st.sampled_from(["Semaglutide", "BPC-157", "metformin 500 mg BID", "Atorvastatin Calcium 40 MG"]), texts
)
dosages = st.one_of(st.sampled_from(["0.25mg", "112 mcg", "0.5 mg weekly", "200mg/mL", "1 tab", "5000 IU"]), texts)
amounts = st.one_of(st.sampled_from([30, "8", "1 vial (10 mL)", "5mg", "2.50 mL"]), json_values)

prescriptions = st.builds(
    PatientPrescription,
    id=ids,
    organization_id=st.just(ORGANIZATION),
    customer_id=customer,
    treatment_id=ids,
    rimo_order_id=texts,
    medication_name=names,
    dosage=dosages,
    status=st.sampled_from(
        ["pending", "processing", "transmitted", "failed", "shipped", "delivered", "cancelled"],
    ),
    quantity=amounts,
    refills=st.one_of(st.sampled_from([0, 3, "5"]), json_values),
    prescribed_date=maybe(instants),
    next_refill_date=maybe(instants),
    pharmacy_id=maybe(texts),
    pharmacy_name=maybe(texts),
    tracking_number=maybe(texts),
    shipped_at=maybe(instants),
    delivered_at=maybe(instants),
    metadata=json_objects,
)

frequencies = st.sampled_from(["daily", "BID", "2x/week", "every 8 hours", "prn", "with food", ""])
compounds = st.fixed_dictionaries(
    {},
    optional={
        "name": st.one_of(names, json_values),
        "dosage": st.one_of(dosages, numbers),
        "unit": st.sampled_from(["mg", ""]),
        "frequency": st.one_of(frequencies, json_values),
        "schedule": texts,
        "route": texts,
        "code": st.one_of(st.sampled_from(["RxNorm:6809", "bpc-157"]), json_values),
        "notes": texts,
        "titration": json_values,
    },
)
goals = st.one_of(json_values, st.lists(st.one_of(texts, st.fixed_dictionaries({"description": texts})), max_size=2))

protocols = st.builds(
    Protocol,
    id=ids,
    organization_id=st.just(ORGANIZATION),
    customer_id=customer,
    name=texts,
    status=st.sampled_from(["active", "paused", "completed", "cancelled"]),
    description=maybe(texts),
    compounds=st.one_of(st.none(), st.lists(st.one_of(compounds, json_values), max_size=3), json_values),
    start_date=maybe(days),
    end_date=maybe(days),
    completed_at=maybe(instants),
    cancelled_at=maybe(instants),
    goals=goals,
    created_by=maybe(st.sampled_from(CLINICIANS)),
    notes=maybe(texts),
    metadata=json_values,
)

subscriptions = st.builds(
    Subscription,
    id=ids,
    organization_id=st.just(ORGANIZATION),
    customer_id=customer,
    product_id=st.one_of(st.sampled_from(["semaglutide-0.25mg", "bpc-157"]), texts),
    product_name=names,
    status=st.sampled_from(["pending", "approved", "rejected", "active", "paused", "cancelled", "completed"]),
    offering_name=maybe(names),
    clinician_id=maybe(st.sampled_from(CLINICIANS)),
    clinician_name=maybe(texts),
    monthly_price_cents=maybe(st.integers(0, 10**6)),
    notes=maybe(texts),
    rimo_treatment_id=maybe(texts),
    started_at=maybe(instants),
    completed_at=maybe(instants),
    cancelled_at=maybe(instants),
    metadata=json_objects,
    patient_prescriptions=st.lists(prescriptions, max_size=2, unique_by=lambda row: row.id).map(tuple),
)

CARE_ROWS: dict[str, st.SearchStrategy[Any]] = {
    "wearable_device": devices,
    "treatment_clinician": clinicians,
    "organization": organizations,
    "prescription": prescriptions,
    "prescription_dispense": prescriptions,
    "protocol": protocols,
    "protocol_goal": protocols,
    "treatment": subscriptions,
}

HOME_TABLES = {"CarePlan": "subscriptions", "Practitioner": "treatment_clinicians"}


class AnyTreatment(dict[str, Treatment]):
    """Every treatment is the first customer's, by the first clinician."""

    def get(self, key: str, default: Any = None) -> Any:
        return dict.get(self, key, Treatment(CUSTOMERS[0], CLINICIANS[0]))

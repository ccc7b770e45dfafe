"""Strategies for rows of treatments, prescriptions and protocols, and of what is derived from them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from mappers.device import device_columns, device_key
from mappers.lookups import Treatment
from mappers.rows import Organization, TreatmentClinician, WearableDevice
from tests.builders_values import CUSTOMERS, ORGANIZATION, ids, maybe, texts

CLINICIANS = ("dr_smith_123", "np-jones-7", "30b8ac4f-3b6b-4ad2-8bd5-2b5d3f7c8a11")

devices = st.builds(
    device_key, customer_id=st.sampled_from(CUSTOMERS), source=texts, device_type=maybe(texts), device_id=maybe(texts)
).map(lambda key: WearableDevice(key, ORGANIZATION, **device_columns(key)))

clinicians = st.builds(TreatmentClinician, id=ids, organization_id=st.just(ORGANIZATION), name=maybe(texts))

organizations = st.builds(
    Organization,
    id=ids,
    name=texts,
    type=maybe(texts),
    email=maybe(texts),
    phone=maybe(texts),
    address=maybe(texts),
    website=maybe(texts),
    is_active=st.booleans(),
)

CARE_ROWS: dict[str, st.SearchStrategy[Any]] = {
    "wearable_device": devices,
    "treatment_clinician": clinicians,
    "organization": organizations,
}

HOME_TABLES = {"CarePlan": "subscriptions", "Practitioner": "treatment_clinicians"}


class AnyTreatment(dict[str, Treatment]):
    """Every treatment is the first customer's, by the first clinician."""

    def get(self, key: str, default: Any = None) -> Any:
        return dict.get(self, key, Treatment(CUSTOMERS[0], CLINICIANS[0]))

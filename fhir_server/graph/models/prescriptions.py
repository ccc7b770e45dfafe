"""Prescriptions as they are shown; the pharmacy's events make them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from pydantic import ConfigDict, Field

from fhir_server.graph.models.common import Shown

SHOWN: Final[dict[str, Any]] = {
    "id": "0f5c1f0e-9a0e-5c57-8d5b-6a3a1f4f2f11",
    "customerId": "123e4567-e89b-12d3-a456-426614174000",
    "treatmentId": "019586e0-7c00-7000-8000-000000000789",
    "rimoOrderId": "rimo_order_555",
    "medicationName": "Semaglutide",
    "dosage": "0.25mg",
    "status": "shipped",
    "quantity": 4,
    "refills": 3,
    "prescribedDate": "2026-03-20T10:00:00Z",
    "nextRefillDate": "2026-04-20T00:00:00Z",
    "pharmacyId": "pharm_rimo_1",
    "pharmacyName": "Rimo Pharmacy",
    "trackingNumber": "1Z999AA10123456789",
    "transmittedAt": "2026-03-20T11:00:00Z",
    "shippedAt": "2026-03-20T18:00:00Z",
    "deliveredAt": None,
    "cancelledAt": None,
    "metadata": {},
    "createdAt": "2026-03-20T10:00:01Z",
    "updatedAt": "2026-03-20T18:00:01Z",
}


class Prescription(Shown):
    """A prescription and where its order is."""

    model_config = ConfigDict(json_schema_extra={"examples": [SHOWN]})

    id: str
    customer_id: str
    treatment_id: str
    rimo_order_id: str
    medication_name: str
    dosage: str
    status: str
    quantity: Any = Field(description="Number or text, as the pharmacy writes it")
    refills: Any = Field(description="Number or text, as the pharmacy writes it")
    prescribed_date: datetime | None
    next_refill_date: datetime | None
    pharmacy_id: str | None
    pharmacy_name: str | None
    tracking_number: str | None
    transmitted_at: datetime | None
    shipped_at: datetime | None
    delivered_at: datetime | None
    cancelled_at: datetime | None
    metadata: Any
    created_at: datetime
    updated_at: datetime

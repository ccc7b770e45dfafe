"""Treatments as they are sent and shown."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from fhir_server.graph.models.common import FreeObject, Instant, Key, Sent, Shown, Text
from storage.tables.enums import SubscriptionInterval, SubscriptionStatus

Said = Annotated[Text, Field(min_length=1)]
Cents = Annotated[int, Field(ge=0, le=2_147_483_647, description="Cents")]

NEW: Final[dict[str, Any]] = {
    "customerId": "123e4567-e89b-12d3-a456-426614174000",
    "rimoTreatmentId": "rimo_456",
    "offeringId": "offering_glp1",
    "offeringName": "GLP-1 Weight Management",
    "status": "pending",
    "monthlyPriceCents": 29900,
}
APPROVED: Final[dict[str, Any]] = {
    "status": "approved",
    "clinicianId": "dr_smith_123",
    "clinicianName": "Dr. Sarah Smith, MD",
    "approvedAt": "2026-03-20T10:00:00Z",
    "notes": "Approved. Monitor blood glucose weekly.",
}
SHOWN: Final[dict[str, Any]] = {
    "id": "019586e0-7c00-7000-8000-000000000789",
    **NEW,
    **APPROVED,
    "productId": "offering_glp1",
    "productName": "GLP-1 Weight Management",
    "bigcommerceProductId": None,
    "rechargeSubscriptionId": None,
    "startedAt": None,
    "completedAt": None,
    "cancelledAt": None,
    "pausedAt": None,
    "interval": "monthly",
    "intervalCount": "30",
    "discountPercentage": "10",
    "nextOrderDate": None,
    "lastOrderDate": None,
    "convertedFromReorders": "0",
    "metadata": {},
    "createdAt": "2026-03-19T15:00:00Z",
    "updatedAt": "2026-03-20T10:00:00Z",
}


class NewTreatment(Sent):
    """A treatment that is asked for. What product it is is the offering's, where it does not say."""

    model_config = ConfigDict(json_schema_extra={"examples": [NEW]})

    customer_id: Key
    rimo_treatment_id: Key | None = None
    offering_id: Key | None = None
    offering_name: Said | None = None
    product_id: Key | None = None
    product_name: Said | None = None
    status: Literal["pending"] = Field("pending", description="Every treatment begins here, and moves by PATCH")
    monthly_price_cents: Cents | None = None
    interval: SubscriptionInterval = SubscriptionInterval.MONTHLY
    notes: Text | None = None
    metadata: FreeObject | None = None

    @model_validator(mode="after")
    def _is_named(self) -> Self:
        if self.offering_name is None and self.product_name is None:
            raise ValueError("has to name an offering or a product")
        return self

    def columns(self) -> dict[str, Any]:
        """Return the columns of the row, the product's among them."""
        product_name = self.product_name or self.offering_name
        more = {
            "product_name": product_name,
            "product_id": self.product_id or self.offering_id or product_name,
            "metadata": self.metadata or {},
        }
        return {**self.changes(), **more}


class TreatmentChanges(Sent):
    """What is to be changed of a treatment; what is not named stays."""

    model_config = ConfigDict(json_schema_extra={"examples": [APPROVED]})

    status: SubscriptionStatus = Field(default=SubscriptionStatus.PENDING)
    clinician_id: Key | None = None
    clinician_name: Text | None = None
    monthly_price_cents: Cents | None = None
    notes: Text | None = None
    rimo_treatment_id: Key | None = None
    offering_id: Key | None = None
    offering_name: Text | None = None
    product_id: Key = Field(default="")
    product_name: Said = Field(default="")
    approved_at: Instant | None = None
    started_at: Instant | None = None
    completed_at: Instant | None = None
    cancelled_at: Instant | None = None
    paused_at: Instant | None = None
    interval: SubscriptionInterval = Field(default=SubscriptionInterval.MONTHLY)
    next_order_date: Instant | None = None
    last_order_date: Instant | None = None
    metadata: FreeObject = Field(default_factory=dict)


class Treatment(Shown):
    """A treatment. Numbers that the source keeps as text are text."""

    model_config = ConfigDict(json_schema_extra={"examples": [SHOWN]})

    id: str
    customer_id: str
    product_id: str
    product_name: str
    status: str
    offering_id: str | None
    offering_name: str | None
    clinician_id: str | None
    clinician_name: str | None
    monthly_price_cents: int | None
    notes: str | None
    bigcommerce_product_id: str | None
    recharge_subscription_id: str | None
    rimo_treatment_id: str | None
    approved_at: datetime | None
    started_at: datetime | None
    completed_at: datetime | None
    cancelled_at: datetime | None
    paused_at: datetime | None
    interval: str
    interval_count: str
    discount_percentage: str
    next_order_date: datetime | None
    last_order_date: datetime | None
    converted_from_reorders: str
    metadata: dict[str, Any]
    created_at: datetime
    updated_at: datetime

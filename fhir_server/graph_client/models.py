"""What the API shows: one frozen struct per resource, named as in Python, decimals with their digits.

Members that a later server adds are passed over; those that an earlier one lacks have their default.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any, Generic, TypeVar

import msgspec

T = TypeVar("T")


class Shown(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A thing that has an id."""

    id: str


class Pagination(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Where a page lies in its list."""

    page: int
    limit: int
    offset: int
    total: int
    has_more: bool


class Page(msgspec.Struct, Generic[T], frozen=True):
    """Some rows of a list."""

    data: tuple[T, ...]
    pagination: Pagination


class Profile(Shown, frozen=True, kw_only=True):
    """Who a customer is."""

    external_id: str
    email: str
    first_name: str | None = None
    last_name: str | None = None
    date_of_birth: date | None = None
    biological_sex: str | None = None
    phone_number: str | None = None
    timezone: str | None = None
    subscription_tier: str | None = None
    conditions: tuple[str, ...] | None = None
    medications: tuple[str, ...] | None = None
    allergies: tuple[str, ...] | None = None
    tags: Any = None
    metadata: dict[str, Any] | None = None
    created_at: datetime
    updated_at: datetime


class IdentityMapping(Shown, frozen=True, kw_only=True):
    """A customer's id in another system."""

    customer_id: str
    identifier_type: str
    external_system: str | None = None
    external_id: str
    verified_at: datetime | None = None
    metadata: Any = None
    created_at: datetime
    updated_at: datetime


class LabResult(Shown, frozen=True, kw_only=True):
    """A laboratory report; `lab_date` as it came, `biomarkers` by key (`value`, `unit`, `referenceRange`, …)."""

    customer_id: str
    status: str
    biomarkers: dict[str, Any]
    upload_id: str | None = None
    lab_date: str | None = None
    lab_day: date | None = None
    provider: str | None = None
    file_url: str | None = None
    notes: str | None = None
    reviewed_at: datetime | None = None
    reviewed_by: str | None = None
    metadata: Any = None
    created_at: datetime
    updated_at: datetime


class Protocol(Shown, frozen=True, kw_only=True):
    """A plan of treatment; `compounds` are objects of name, dosage, frequency, …"""

    customer_id: str
    name: str
    status: str
    description: str | None = None
    compounds: Any = None
    start_date: date | None = None
    end_date: date | None = None
    paused_at: datetime | None = None
    completed_at: datetime | None = None
    cancelled_at: datetime | None = None
    goals: Any = None
    created_by: str | None = None
    notes: str | None = None
    metadata: Any = None
    created_at: datetime
    updated_at: datetime


class Event(Shown, frozen=True, kw_only=True):
    """An entry of the clinical timeline."""

    customer_id: str
    type: str
    description: str | None = None
    data: Any = None
    created_by: str | None = None
    occurred_at: datetime | None = None
    protocol_id: str | None = None
    metadata: Any = None
    created_at: datetime
    updated_at: datetime


class ConversationLine(Shown, frozen=True, kw_only=True):
    """A line of a conversation with the assistant."""

    customer_id: str
    channel: str | None = None
    session_id: str | None = None
    role: str | None = None
    content: str | None = None
    token_count: int | None = None
    metadata: Any = None
    occurred_at: datetime | None = None
    created_at: datetime
    updated_at: datetime


class Treatment(Shown, frozen=True, kw_only=True):
    """A treatment, or another subscription; money in cents."""

    customer_id: str
    status: str
    product_id: str | None = None
    product_name: str | None = None
    offering_id: str | None = None
    offering_name: str | None = None
    clinician_id: str | None = None
    clinician_name: str | None = None
    monthly_price_cents: int | None = None
    notes: str | None = None
    bigcommerce_product_id: str | None = None
    recharge_subscription_id: str | None = None
    rimo_treatment_id: str | None = None
    approved_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    cancelled_at: datetime | None = None
    paused_at: datetime | None = None
    interval: str | None = None
    interval_count: str | None = None
    discount_percentage: str | None = None
    next_order_date: datetime | None = None
    last_order_date: datetime | None = None
    converted_from_reorders: str | None = None
    metadata: Any = None
    created_at: datetime
    updated_at: datetime


class Prescription(Shown, frozen=True, kw_only=True):
    """A prescription on its way from the clinician to the customer."""

    customer_id: str
    treatment_id: str
    rimo_order_id: str
    medication_name: str
    dosage: str
    status: str
    quantity: Any = None
    refills: Any = None
    prescribed_date: datetime | None = None
    next_refill_date: datetime | None = None
    pharmacy_id: str | None = None
    pharmacy_name: str | None = None
    tracking_number: str | None = None
    transmitted_at: datetime | None = None
    shipped_at: datetime | None = None
    delivered_at: datetime | None = None
    cancelled_at: datetime | None = None
    metadata: Any = None
    created_at: datetime
    updated_at: datetime


class Reading(Shown, frozen=True, kw_only=True):
    """What a wearable measured."""

    customer_id: str
    data_type: str
    value: Decimal | None
    unit: str
    source: str
    recorded_at: datetime
    device_id: str | None = None
    device_type: str | None = None
    status: str | None = None
    metadata: Any = None
    created_at: datetime | None = None


class DailyStat(Shown, frozen=True, kw_only=True):
    """What a wearable measured on one day of the customer's time zone; `closed_at` is None while the day is open."""

    customer_id: str
    date: date
    data_type: str
    unit: str
    avg_value: Decimal | None = None
    min_value: Decimal | None = None
    max_value: Decimal | None = None
    sum_value: Decimal | None = None
    count: int | None = None
    metadata: Any = None
    closed_at: datetime | None = None
    corrected: bool = False
    created_at: datetime | None = None
    updated_at: datetime | None = None


class Ingested(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What became of the readings of a request."""

    received: int
    created: int
    corrected: int
    unchanged: int


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A record of a person in one of the three systems; `table` says in which."""

    table: str
    id: str


class Resolved(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Whom an id in another system stands for; `survivor` is the record that stands for the person after merges."""

    customer_id: str
    survivor: Record
    mapping: IdentityMapping | None = None

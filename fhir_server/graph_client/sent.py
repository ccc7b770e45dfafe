"""What the API takes: a struct per request body. A member that is UNSET is not sent, so that it stays as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType


class Sent(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A request body."""


class NewProfile(Sent, frozen=True, kw_only=True):
    """A profile to be made; `external_id` is the person's id at the login provider."""

    external_id: str
    email: str
    first_name: str | UnsetType | None = UNSET
    last_name: str | UnsetType | None = UNSET
    date_of_birth: date | UnsetType | None = UNSET
    biological_sex: str | UnsetType | None = UNSET
    phone_number: str | UnsetType | None = UNSET
    timezone: str | UnsetType | None = UNSET
    subscription_tier: str | UnsetType | None = UNSET
    conditions: Sequence[str] | UnsetType = UNSET
    medications: Sequence[str] | UnsetType = UNSET
    allergies: Sequence[str] | UnsetType = UNSET
    tags: Any = UNSET
    metadata: Mapping[str, Any] | UnsetType | None = UNSET


class ProfileChanges(Sent, frozen=True, kw_only=True):
    """What is to be changed of a profile."""

    email: str | UnsetType = UNSET
    first_name: str | UnsetType | None = UNSET
    last_name: str | UnsetType | None = UNSET
    date_of_birth: date | UnsetType | None = UNSET
    biological_sex: str | UnsetType | None = UNSET
    phone_number: str | UnsetType | None = UNSET
    timezone: str | UnsetType | None = UNSET
    subscription_tier: str | UnsetType | None = UNSET
    conditions: Sequence[str] | UnsetType | None = UNSET
    medications: Sequence[str] | UnsetType | None = UNSET
    allergies: Sequence[str] | UnsetType | None = UNSET
    tags: Any = UNSET
    metadata: Mapping[str, Any] | UnsetType | None = UNSET


class NewIdentityMapping(Sent, frozen=True, kw_only=True):
    """What a person is called in another system; of system and type one is enough where the other is known by it."""

    customer_id: str
    external_id: str
    external_system: str | UnsetType | None = UNSET
    identifier_type: str | UnsetType | None = UNSET
    verified_at: datetime | UnsetType | None = UNSET
    metadata: Mapping[str, Any] | UnsetType | None = UNSET


class NewLab(Sent, frozen=True, kw_only=True):
    """A laboratory report; one with the `upload_id` of an earlier one corrects that."""

    customer_id: str
    biomarkers: Mapping[str, Any]
    upload_id: str | UnsetType | None = UNSET
    lab_date: str | UnsetType | None = UNSET
    provider: str | UnsetType | None = UNSET
    status: str | UnsetType = UNSET
    file_url: str | UnsetType | None = UNSET
    notes: str | UnsetType | None = UNSET
    metadata: Mapping[str, Any] | UnsetType | None = UNSET


class LabChanges(Sent, frozen=True, kw_only=True):
    """What is to be changed of a laboratory report: pending → reviewed → archived."""

    status: str | UnsetType = UNSET
    notes: str | UnsetType | None = UNSET
    metadata: Mapping[str, Any] | UnsetType | None = UNSET


class NewProtocol(Sent, frozen=True, kw_only=True):
    """A protocol to be made."""

    customer_id: str
    name: str
    description: str | UnsetType | None = UNSET
    status: str | UnsetType = UNSET
    compounds: Sequence[Mapping[str, Any]] | UnsetType = UNSET
    start_date: date | UnsetType | None = UNSET
    end_date: date | UnsetType | None = UNSET
    goals: Any = UNSET
    created_by: str | UnsetType | None = UNSET
    notes: str | UnsetType | None = UNSET
    metadata: Mapping[str, Any] | UnsetType | None = UNSET


class ProtocolChanges(Sent, frozen=True, kw_only=True):
    """What is to be changed of a protocol: active ⇄ paused, then completed or cancelled."""

    name: str | UnsetType = UNSET
    description: str | UnsetType | None = UNSET
    status: str | UnsetType = UNSET
    compounds: Sequence[Mapping[str, Any]] | UnsetType | None = UNSET
    start_date: date | UnsetType | None = UNSET
    end_date: date | UnsetType | None = UNSET
    goals: Any = UNSET
    notes: str | UnsetType | None = UNSET
    metadata: Mapping[str, Any] | UnsetType | None = UNSET


class NewEvent(Sent, frozen=True, kw_only=True):
    """An entry for the clinical timeline."""

    customer_id: str
    type: str
    description: str | UnsetType | None = UNSET
    data: Mapping[str, Any] | UnsetType = UNSET
    occurred_at: datetime | UnsetType | None = UNSET
    protocol_id: str | UnsetType | None = UNSET
    metadata: Mapping[str, Any] | UnsetType | None = UNSET


class Line(Sent, frozen=True, kw_only=True):
    """What somebody said."""

    role: str
    content: str
    token_count: int | UnsetType | None = UNSET
    occurred_at: datetime | UnsetType | None = UNSET
    metadata: Mapping[str, Any] | UnsetType | None = UNSET


class NewLines(Sent, frozen=True, kw_only=True):
    """Lines of one conversation, in order."""

    customer_id: str
    messages: Sequence[Line]
    channel: str | UnsetType | None = UNSET
    session_id: str | UnsetType | None = UNSET


class NewTreatment(Sent, frozen=True, kw_only=True):
    """A treatment that is asked for; a clinician decides about it."""

    customer_id: str
    rimo_treatment_id: str | UnsetType | None = UNSET
    product_id: str | UnsetType = UNSET
    product_name: str | UnsetType = UNSET
    offering_id: str | UnsetType | None = UNSET
    offering_name: str | UnsetType | None = UNSET
    status: str | UnsetType = UNSET
    monthly_price_cents: int | UnsetType | None = UNSET
    interval: str | UnsetType = UNSET
    notes: str | UnsetType | None = UNSET
    metadata: Mapping[str, Any] | UnsetType | None = UNSET


class TreatmentChanges(Sent, frozen=True, kw_only=True):
    """What is to be changed of a treatment, such as its approval."""

    status: str | UnsetType = UNSET
    rimo_treatment_id: str | UnsetType | None = UNSET
    clinician_id: str | UnsetType | None = UNSET
    clinician_name: str | UnsetType | None = UNSET
    approved_at: datetime | UnsetType | None = UNSET
    started_at: datetime | UnsetType | None = UNSET
    completed_at: datetime | UnsetType | None = UNSET
    cancelled_at: datetime | UnsetType | None = UNSET
    paused_at: datetime | UnsetType | None = UNSET
    offering_id: str | UnsetType | None = UNSET
    offering_name: str | UnsetType | None = UNSET
    product_id: str | UnsetType = UNSET
    product_name: str | UnsetType = UNSET
    interval: str | UnsetType = UNSET
    next_order_date: datetime | UnsetType | None = UNSET
    last_order_date: datetime | UnsetType | None = UNSET
    monthly_price_cents: int | UnsetType | None = UNSET
    notes: str | UnsetType | None = UNSET
    metadata: Mapping[str, Any] | UnsetType = UNSET


class NewReading(Sent, frozen=True, kw_only=True):
    """What a wearable measured; sent again under the same `source_key` it corrects, or changes nothing."""

    customer_id: str
    data_type: str
    value: Decimal | int
    unit: str
    source: str
    recorded_at: datetime
    source_key: str | UnsetType | None = UNSET
    status: str | UnsetType = UNSET
    device_id: str | UnsetType | None = UNSET
    device_type: str | UnsetType | None = UNSET
    metadata: Mapping[str, Any] | UnsetType | None = UNSET


class NewReadings(Sent, frozen=True, kw_only=True):
    """Up to 10,000 readings, of one or several customers."""

    readings: Sequence[NewReading]

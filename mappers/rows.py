"""Rows of the patient graph as the mappers see them: column names as in SQL, one frozen dataclass per table.

Timestamps are aware and UTC, dates are dates, JSON columns hold JSON values with Decimals, text arrays are tuples.
`created_at`, `updated_at` and other NOT NULL timestamps that a mapper cannot know are None in a row that has not been
stored yet: the unit of work stamps them. A field named like a child table holds that table's rows, in order of id.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal

from mappers.json_values import Json


@dataclass(frozen=True, slots=True)
class Organization:
    """One row of `organizations`."""

    id: str
    name: str
    type: str | None = None
    domain: str | None = None
    email: str | None = None
    phone: str | None = None
    address: str | None = None
    website: str | None = None
    home_system: str = "graph"
    is_active: bool = True
    settings: Json = field(default_factory=dict)
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class IdentityMapping:
    """One row of `identity_mappings`: a customer's id in another system."""

    id: str
    organization_id: str
    customer_id: str
    identifier_type: str
    external_system: str | None
    external_id: str
    verified_at: datetime | None = None
    metadata: Json = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class CustomerProfile:
    """One row of `customer_profiles`, with its `identity_mappings`."""

    id: str
    organization_id: str
    external_id: str
    email: str
    first_name: str | None = None
    last_name: str | None = None
    date_of_birth: date | None = None
    biological_sex: str | None = None
    phone_number: str | None = None
    timezone: str | None = "America/New_York"
    subscription_tier: str | None = "free"
    conditions: tuple[str, ...] | None = ()
    medications: tuple[str, ...] | None = ()
    allergies: tuple[str, ...] | None = ()
    tags: Json = field(default_factory=list)
    metadata: Json = field(default_factory=dict)
    created_at: datetime | None = None
    updated_at: datetime | None = None
    identity_mappings: tuple[IdentityMapping, ...] = ()


@dataclass(frozen=True, slots=True)
class Protocol:
    """One row of `protocols`."""

    id: str
    organization_id: str
    customer_id: str
    name: str
    status: str
    description: str | None = None
    compounds: Json = None
    start_date: date | None = None
    end_date: date | None = None
    paused_at: datetime | None = None
    completed_at: datetime | None = None
    cancelled_at: datetime | None = None
    goals: Json = None
    created_by: str | None = None
    notes: str | None = None
    metadata: Json = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class LabResult:
    """One row of `lab_results`; `lab_date` is text as it came, `lab_day` its day (settled §2.2)."""

    id: str
    organization_id: str
    customer_id: str
    status: str
    biomarkers: Json
    upload_id: str | None = None
    lab_date: str | None = None
    lab_day: date | None = None
    provider: str | None = None
    file_url: str | None = None
    notes: str | None = None
    reviewed_at: datetime | None = None
    reviewed_by: str | None = None
    metadata: Json = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Subscription:
    """One row of `subscriptions` (a treatment, where a clinician is involved), with its `patient_prescriptions`."""

    id: str
    organization_id: str
    customer_id: str
    product_id: str
    product_name: str
    status: str = "pending"
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
    interval: str = "monthly"
    interval_count: int = 30
    discount_percentage: int = 10
    next_order_date: datetime | None = None
    last_order_date: datetime | None = None
    converted_from_reorders: int = 0
    metadata: Json = field(default_factory=dict)
    created_at: datetime | None = None
    updated_at: datetime | None = None
    patient_prescriptions: tuple[PatientPrescription, ...] = ()


@dataclass(frozen=True, slots=True)
class PatientPrescription:
    """One row of `patient_prescriptions`; `quantity` and `refills` are JSON as they came."""

    id: str
    organization_id: str
    customer_id: str
    treatment_id: str
    rimo_order_id: str
    medication_name: str
    dosage: str
    status: str = "pending"
    quantity: Json = None
    refills: Json = None
    prescribed_date: datetime | None = None
    next_refill_date: datetime | None = None
    pharmacy_id: str | None = None
    pharmacy_name: str | None = None
    tracking_number: str | None = None
    transmitted_at: datetime | None = None
    shipped_at: datetime | None = None
    delivered_at: datetime | None = None
    cancelled_at: datetime | None = None
    metadata: Json = field(default_factory=dict)
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class WearableReading:
    """One row of `patient_wearable_readings`."""

    id: str
    organization_id: str
    customer_id: str
    data_type: str
    value: Decimal
    unit: str
    source: str
    recorded_at: datetime
    device_id: str | None = None
    device_type: str | None = None
    status: str = "final"
    metadata: Json = field(default_factory=dict)
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class WearableDailyStat:
    """One row of `patient_wearable_daily_stats`; `closed_at` is None while the day is open (settled §3.2).

    `corrected` is stamped by the database when what the row says of a closed day changes.
    """

    id: str
    organization_id: str
    customer_id: str
    date: date
    data_type: str
    unit: str
    avg_value: Decimal | None = None
    min_value: Decimal | None = None
    max_value: Decimal | None = None
    sum_value: Decimal | None = None
    count: int | None = None
    metadata: Json = field(default_factory=dict)
    closed_at: datetime | None = None
    corrected: bool = False
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class TreatmentClinician:
    """A derived row: one clinician that `subscriptions.clinician_id` or `protocols.created_by` names.

    No table of the patient graph holds clinicians; `name` is the `clinician_name` of the newest subscription with one.
    """

    id: str
    organization_id: str
    name: str | None = None


@dataclass(frozen=True, slots=True)
class WearableDevice:
    """A derived row: one distinct device of `patient_wearable_readings`; `id` is `mappers.device.device_key` of it."""

    id: str
    organization_id: str
    customer_id: str
    source: str
    device_type: str | None = None
    device_id: str | None = None

"""Rows of the care platform that no mapper reads; in the style of `mappers.care_rows`."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from mappers.care_rows import SHARED


@dataclass(frozen=True, slots=True)
class SocialAccount:
    """One row of `social_accounts`: an account elsewhere that a user signs in with."""

    id: str
    user_id: str
    provider: str
    provider_account_id: str
    email: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class AlertRule:
    """One row of `alert_rules`: what raises an alert."""

    id: str
    organization_id: str
    name: str
    conditions: Any
    severity: str
    description: str | None = None
    is_standardized: bool = False
    is_active: bool = True
    priority: int | None = None
    sla_minutes: int | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ConditionPresetAlertRule:
    """One row of `condition_preset_alert_rules`."""

    id: str
    organization_id: str
    condition_preset_id: str
    alert_rule_id: str
    condition_preset_organization_id: str | None = None
    alert_rule_organization_id: str | None = None
    priority: int = 0
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Alert:
    """One row of `alerts`; `risk_score` is between 0 and 10."""

    id: str
    organization_id: str
    patient_id: str
    rule_id: str
    severity: str
    message: str
    rule_organization_id: str | None = None
    clinician_id: str | None = None
    status: str = "PENDING"
    priority: int = 0
    details: Any = None
    risk_score: Decimal | None = None
    priority_rank: int | None = None
    sla_breach_time: datetime | None = None
    claimed_by_id: str | None = None
    claimed_at: datetime | None = None
    triggered_at: datetime | None = None
    acknowledged_at: datetime | None = None
    resolved_at: datetime | None = None
    resolution_notes: str | None = None
    action_taken: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class TimeLog:
    """One row of `time_logs`; `duration` is in minutes."""

    id: str
    organization_id: str
    patient_id: str
    clinician_id: str
    activity: str
    duration: int
    enrollment_id: str | None = None
    cpt_code: str | None = None
    notes: str | None = None
    billable: bool = False
    logged_at: datetime | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Assessment:
    """One row of `assessments`; `responses` are by id of the metric definition."""

    id: str
    organization_id: str
    patient_id: str
    template_id: str | None = None
    template_organization_id: str | None = None
    responses: Any = field(default_factory=dict)
    completed_at: datetime | None = None
    enrollment_id: str | None = None
    clinician_id: str | None = None
    score: Decimal | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class CptCode:
    """One row of `cpt_codes`; `reimbursement_amount` is in dollars."""

    id: str
    organization_id: str
    billing_program_id: str
    code: str
    category: str
    description: str
    billing_program_organization_id: str | None = None
    requirements: Any = None
    reimbursement_amount: Decimal | None = None
    billing_frequency: str | None = None
    is_active: bool = True
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class BillingProgram:
    """One row of `billing_programs`, with its CPT codes."""

    id: str
    name: str
    code: str
    program_type: str
    effective_date: datetime
    eligibility_rules: Any
    organization_id: str = SHARED
    description: str | None = None
    payer: str | None = None
    expiration_date: datetime | None = None
    is_active: bool = True
    created_at: datetime | None = None
    updated_at: datetime | None = None
    cpt_codes: tuple[CptCode, ...] = ()

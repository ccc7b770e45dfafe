"""Laboratory results as they are sent and shown."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from fhir_server.graph.models.common import AsSent, FreeObject, Key, Sent, Shown, Text, at_most
from mappers.isos import is_date_time
from storage.tables.enums import LabStatus

MOST_BIOMARKERS = 1_000

BIOMARKERS: dict[str, Any] = {
    "testosterone_total": {
        "value": 650,
        "unit": "ng/dL",
        "referenceRange": {"min": 264, "max": 916},
        "status": "normal",
        "code": "LOINC:2986-8",
    },
    "vitamin_d": {"value": 28, "unit": "ng/mL", "referenceRange": {"min": 30, "max": 100}, "status": "low"},
}
NEW: dict[str, Any] = {
    "customerId": "123e4567-e89b-12d3-a456-426614174000",
    "uploadId": "upload_789",
    "labDate": "2026-03-15",
    "provider": "Quest Diagnostics",
    "status": "pending",
    "biomarkers": {"testosterone_total": {"value": 650, "unit": "ng/dL", "code": "LOINC:2986-8"}},
    "fileUrl": "https://storage.example.com/lab-123.pdf",
}
CHANGES: dict[str, Any] = {"status": "reviewed", "notes": "Vitamin D slightly low, recommend supplementation"}
SHOWN: dict[str, Any] = {
    "id": "0195b0a2-0c1e-7000-8000-2f5d1d6f0a11",
    **NEW,
    "labDay": "2026-03-15",
    "biomarkers": BIOMARKERS,
    **CHANGES,
    "reviewedAt": "2026-03-16T09:00:00Z",
    "reviewedBy": "dr_smith_123",
    "metadata": None,
    "createdAt": "2026-03-15T14:00:00Z",
    "updatedAt": "2026-03-16T09:00:00Z",
}


def _date_time(text: str) -> str:
    if not is_date_time(text):
        raise ValueError("has to be a date (YYYY, YYYY-MM or YYYY-MM-DD), or a date with time and zone")
    return text


LabDate = Annotated[str, StringConstraints(max_length=40), AfterValidator(_date_time)]


class ReferenceRange(BaseModel):
    """The values that are expected."""

    model_config = ConfigDict(extra="allow")

    min: Decimal | Text | None = None
    max: Decimal | Text | None = None
    text: Text | None = None


class Biomarker(BaseModel):
    """What was measured; members that are not named here are kept."""

    model_config = ConfigDict(extra="allow")

    value: Decimal | bool | Text | None = Field(description="A number, or words such as '<5.0' or 'Non-Reactive'")
    unit: Text | None = None
    code: Text | None = Field(None, description="LOINC:2986-8, or without the prefix")
    referenceRange: ReferenceRange | None = None  # noqa: N815 the name on the wire
    status: Text | None = Field(None, description="low, normal, high, critical_low, critical_high")


Biomarkers = Annotated[dict[Key, Biomarker], Field(max_length=MOST_BIOMARKERS), AsSent, at_most(MOST_BIOMARKERS)]


class NewLab(Sent):
    """A laboratory result; one of an upload that is known already corrects that upload's result."""

    model_config = ConfigDict(json_schema_extra={"examples": [NEW]})

    customer_id: Key
    upload_id: Key | None = None
    lab_date: LabDate | None = Field(None, description="A FHIR dateTime, kept as it is written")
    provider: Text | None = None
    status: LabStatus = LabStatus.PENDING
    biomarkers: Biomarkers = Field(description="By key")
    file_url: Text | None = None
    notes: Text | None = None
    metadata: FreeObject | None = None


class LabChanges(Sent):
    """What is to be changed of a laboratory result; values are corrected by uploading again."""

    model_config = ConfigDict(json_schema_extra={"examples": [CHANGES]})

    status: LabStatus = Field(default=LabStatus.PENDING, description="pending → reviewed → archived")
    notes: Text | None = None
    metadata: FreeObject | None = None


class Lab(Shown):
    """A laboratory result."""

    model_config = ConfigDict(json_schema_extra={"examples": [SHOWN]})

    id: str
    customer_id: str
    upload_id: str | None
    lab_date: str | None
    lab_day: str | None = Field(description="The day of labDate, where it names one")
    provider: str | None
    status: LabStatus
    biomarkers: Any = Field(description="By key: value, unit, referenceRange, status, code")
    file_url: str | None
    notes: str | None
    reviewed_at: datetime | None
    reviewed_by: str | None
    metadata: Any
    created_at: datetime
    updated_at: datetime

"""Readings of wearable devices as they are sent and shown, and the statistics of days."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

from fastapi.exceptions import RequestValidationError
from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    SkipValidation,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from fhir_server.graph.models.common import NUMBER, FreeObject, Instant, Key, Number, Sent, Shown, Text
from storage.tables.enums import WearableDataType
from storage.telemetry.ingest import Measured

MOST_READINGS: Final = 10_000
FIRST_YEAR: Final = 1970
LAST_YEAR: Final = 2200

READING: Final[dict[str, Any]] = {
    "customerId": "123e4567-e89b-12d3-a456-426614174000",
    "dataType": "glucose",
    "value": 95.5,
    "unit": "mg/dL",
    "deviceId": "dexcom_789",
    "deviceType": "dexcom",
    "source": "dexcom_api",
    "recordedAt": "2026-03-20T14:30:00Z",
    "metadata": {"trend": "stable", "alert_triggered": False},
}
SENT: Final[dict[str, Any]] = {**READING, "sourceKey": "egv-2026-03-20T14:30:00"}
SHOWN: Final[dict[str, Any]] = {
    "id": "0b6f1f43-6a6c-5f0e-9d6f-0f6c9b1d2e3f",
    **READING,
    "status": "final",
    "createdAt": "2026-03-20T14:31:02Z",
}
DAY: Final[dict[str, Any]] = {
    "id": "9d2f7c11-3a51-5a8e-8f0a-6c1b2a3d4e5f",
    "customerId": "123e4567-e89b-12d3-a456-426614174000",
    "date": "2026-03-20",
    "dataType": "glucose",
    "avgValue": 98.5,
    "minValue": 75.0,
    "maxValue": 145.0,
    "sumValue": 28368,
    "count": 288,
    "unit": "mg/dL",
    "metadata": {"timeZone": "America/New_York"},
    "closedAt": "2026-03-21T10:00:00Z",
    "corrected": False,
    "createdAt": "2026-03-20T05:01:00Z",
    "updatedAt": "2026-03-21T10:00:00Z",
}


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError("has to be a number")  # noqa: TRY004 pydantic takes ValueErrors
    return value


def _in_our_time(moment: datetime) -> datetime:
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise ValueError(f"has to be between the years {FIRST_YEAR} and {LAST_YEAR}")
    return moment


Value = Annotated[Decimal, BeforeValidator(_number), Field(max_digits=30, decimal_places=15), NUMBER]
Moment = Annotated[Instant, AfterValidator(_in_our_time)]


class NewReading(Sent):
    """One reading, as a device or its provider tells it."""

    model_config = ConfigDict(json_schema_extra={"examples": [SENT]})

    customer_id: Key
    data_type: WearableDataType
    value: Value
    unit: Annotated[Key, Field(description="As the source has it; a day of several units is converted to one")]
    source: Annotated[Key, Field(description="Who tells it: dexcom_api, oura, manual …")]
    recorded_at: Annotated[Moment, Field(description="When it was measured; UTC where no zone is named")]
    device_id: Key | None = None
    device_type: Key | None = None
    source_key: Key | None = Field(
        None,
        description="The source's own key for the reading. Without one a reading of a source and metric is known by"
        " `recordedAt` and `deviceId`. Sent again, a reading changes nothing; with another value it is corrected",
    )
    status: Literal["final", "entered-in-error"] = Field(
        "final", description="entered-in-error: it should never have been there"
    )
    metadata: FreeObject | None = None

    def measured(self) -> Measured:
        """Return the reading as storage takes it."""
        return Measured(
            customer_id=self.customer_id,
            data_type=self.data_type.value,
            value=self.value,
            unit=self.unit,
            source=self.source,
            recorded_at=self.recorded_at,
            device_id=self.device_id,
            device_type=self.device_type,
            source_key=self.source_key,
            metadata=self.metadata or {},
            is_wrong=self.status == "entered-in-error",
        )


class NewReadings(Sent):
    """Readings of one or several customers; all are taken, or none. A bare list of readings is taken, too.

    The readings themselves are not checked yet: `checked` does that, some at a time.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{"readings": [SENT]}]})

    readings: list[SkipValidation[NewReading]] = Field(min_length=1, max_length=MOST_READINGS)

    @model_validator(mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return {"readings": value} if isinstance(value, list) else value


_CHECK: Final = TypeAdapter(list[NewReading])


def checked(sent: NewReadings, start: int, end: int) -> list[NewReading]:
    """Return some of the readings; raises RequestValidationError, which names the places of all that do not fit."""
    try:
        return _CHECK.validate_python(sent.readings[start:end])
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        raise RequestValidationError([each | {"loc": _place(start, each["loc"])} for each in found]) from None


def _place(start: int, place: tuple[int | str, ...]) -> tuple[int | str, ...]:
    return ("body", "readings", start + int(place[0]), *place[1:])


class Ingestion(Shown):
    """What became of the readings of a request; each is counted once."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"received": 288, "created": 12, "corrected": 1, "unchanged": 275}]}
    )

    received: int
    created: int = Field(description="Readings that were not there")
    corrected: int = Field(description="Readings that were there with another value, unit, time or device")
    unchanged: int = Field(description="Readings that were there as they were sent")


class Reading(Shown):
    """A reading."""

    model_config = ConfigDict(json_schema_extra={"examples": [SHOWN]})

    id: str
    customer_id: str
    data_type: str
    value: Number | None = Field(description="null: another program left what is no number")
    unit: str
    device_id: str | None
    device_type: str | None
    source: Text
    status: str = Field(description="final, corrected, entered-in-error")
    recorded_at: datetime
    metadata: dict[str, Any] | None
    created_at: datetime | None


class DailyStat(Shown):
    """The statistics of one metric in one day of the customer's time zone."""

    model_config = ConfigDict(json_schema_extra={"examples": [DAY]})

    id: str
    customer_id: str
    date: date
    data_type: str
    avg_value: Number | None
    min_value: Number | None
    max_value: Number | None
    sum_value: Number | None
    count: int | None
    unit: str
    metadata: dict[str, Any] | None
    closed_at: datetime | None = Field(description="When the day was closed; null while it is open")
    corrected: bool = Field(description="Whether readings came, or were changed, after the day was closed")
    created_at: datetime | None
    updated_at: datetime | None

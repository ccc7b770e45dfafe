"""Observation ⇄ wearable readings and daily statistics (mapping.md Observation, settled §3.2)."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import fields
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final
from zoneinfo import ZoneInfo

from mappers import isos, systems, wearables
from mappers.codes.code import Code
from mappers.device import DEVICE_TABLE, device_columns, device_key
from mappers.errors import Refusal
from mappers.fields import Context, Field, derived, enrich, field, lens, reference, reference_needs, status
from mappers.json_values import ABSENT, Json
from mappers.lens import Alike, ResourceMapper, Shows
from mappers.lookups import TIME_ZONE, Lookups
from mappers.nodes import Node, Slot, Whole
from mappers.observation_profiles import observation_profiles
from mappers.quantities import Measured, plain_number, quantity, quantity_unit
from mappers.rows import WearableDailyStat, WearableReading
from mappers.telemetry import OPEN_DAY_PACE

WRITTEN_THROUGH_FHIR: Final = "fhir"
"""`source` of a reading whose writer named neither a device nor a source."""

READING_STATUS: Final = isos.status_table(
    {"final": "final", "corrected": "corrected", "entered-in-error": "entered-in-error"}
)


def _metric(codes: Mapping[str, Code | None], types: Mapping[str, str], *also: str) -> Field:
    """The metric as a code; a code that no metric has is not claimed. `also` say whether a LOINC code is exact."""

    def show(_values: tuple[Any, ...], context: Context) -> tuple[Node]:
        return (wearables.concept(context.view, codes, context.bare),)

    def take(found: tuple[Json, ...], _: Context) -> tuple[str]:
        name = wearables.data_type(found[0], types) if isinstance(found[0], dict) else None
        if name is None:
            raise Refusal("is no wearable metric", final=True)
        return (name,)

    note = "LOINC where it is exact, and a local code"
    sources = (("data_type", *also),)
    return lens(("data_type",), ("code",), show, take, needed=True, note=note, sources=sources)


def _category() -> Field:
    return derived(("data_type",), "category[metric]", lambda values, _: wearables.category(values[0]))


def _subject() -> Field:
    return reference("customer_id", "subject", "Patient", "customer_profiles", needed=True)


# ---- readings -----------------------------------------------------------------------------------------------------


def _show_value(values: tuple[Any, ...], _: Context) -> tuple[Node, Node]:
    """Show the value; or, of a number that JSON cannot say, which kind it is."""
    value, unit = values
    if value.is_finite():
        return quantity(Measured(isos.number(value)), unit), ABSENT
    code = "not-a-number" if value.is_nan() else "positive-infinity" if value > 0 else "negative-infinity"
    return ABSENT, Whole({"coding": [{"system": systems.DATA_ABSENT_CODE, "code": code}]}, code)


def _take_value(found: tuple[Json, ...], context: Context) -> tuple[Decimal, str]:
    """Take value and unit; a value that an update takes back stays in its column (settled §1.4)."""
    if found[0] is ABSENT and context.view is not None:
        return context.view.value, context.view.unit
    value = plain_number(found[0])
    unit = quantity_unit(found[0], context.view.unit if context.view else None)
    if unit is None:
        raise Refusal("has no unit", final=True)
    return value, unit


def _show_device(values: tuple[Any, ...], context: Context) -> tuple[Node, Node]:
    """Show the device; or, for a reading without one, the source."""
    customer_id, device_id, device_type, source = values
    if device_id is None and device_type is None:
        told = source != WRITTEN_THROUGH_FHIR and source
        return ABSENT, systems.source_uri(source) if told else ABSENT
    key = device_key(customer_id, source, device_type, device_id)
    literal = context.lookups.reference("Device", DEVICE_TABLE, key)
    words = isos.fhir_text(device_type or "")
    return Whole({"reference": literal} if words is ABSENT else {"reference": literal, "display": words}, key), ABSENT


def _take_device(found: tuple[Json, ...], context: Context) -> tuple[str | None, str | None, str]:
    device, source = found
    literal = device.get("reference", "") if isinstance(device, dict) else ""
    home = context.lookups.homes.get(literal)
    if home is not None and home.table == DEVICE_TABLE:
        columns = device_columns(home.key)
        return columns["device_id"], columns["device_type"], columns["source"]
    if isinstance(source, str):
        return None, None, systems.source_name(source)
    return None, None, context.view.source if context.view else WRITTEN_THROUGH_FHIR


def _device() -> Field:
    """Device and source; the customer is only looked at, since it is part of the device's identity."""

    def take(found: tuple[Json, ...], context: Context) -> tuple[Any, ...]:
        return _take_device(found, context)

    return Field(
        ("device_id", "device_type", "source"),
        ("device", "meta.source"),
        lambda values, context: _show_device((context.view.customer_id, *values), context),
        take,
        empty=(None, None, WRITTEN_THROUGH_FHIR),
        needs=lambda found: reference_needs(found[:1]),
        always=True,
        sources=(("device_id", "device_type", "source", "customer_id"), ("source", "device_id", "device_type")),
        note="Device of that type and id from that source; without either, the source in meta.source",
    )


@lru_cache(maxsize=4096)
def _claims(data_type: str, unit: str | None, *shown: str) -> tuple[str, ...]:
    """Return the profiles that a reading or statistic follows; `shown` names the elements that say its value."""
    amount = quantity(Measured(0), unit).value
    elements = {"valueQuantity": amount, "dataAbsentReason": {}, "component": [{"valueQuantity": amount}]}
    said = {name: elements[name] for name in shown}
    return tuple(observation_profiles(wearables.loinc_codings(data_type), wearables.category(data_type).guard, said))


def _profiles_of_reading(values: tuple[Any, ...], _: Context) -> Node:
    data_type, value, unit = values
    return list(_claims(data_type, unit, "valueQuantity" if value.is_finite() else "dataAbsentReason")) or ABSENT


READING_VARIES: Final = frozenset({"id", "value", "recorded_at", "metadata", "created_at"})
_OF_KIND: Final = attrgetter(*(each.name for each in fields(WearableReading) if each.name not in READING_VARIES))


def _kind_of_reading(row: WearableReading) -> Hashable | None:
    return _OF_KIND(row) if row.value.is_finite() else None


def _reading_like(other: Mapping[str, Json], row: WearableReading) -> dict[str, Json]:
    return {
        **other,
        "effectiveDateTime": isos.instant.forwards(row.recorded_at),
        "valueQuantity": {**other["valueQuantity"], "value": isos.number(row.value)},
    }


WEARABLE_READING: Final = ResourceMapper(
    "Observation",
    table="patient_wearable_readings",
    name="wearable_reading",
    row_type=WearableReading,
    internal_endpoint="/graph/wearables/readings",
    about="Claimed with a wearable metric's code, a dateTime with time, and a Quantity with a unit.",
    telemetry=True,
    metric="data_type",
    together=(("value", "dataAbsentReason", "interpretation", "referenceRange", "component"), ("effective",)),
    slots={"category": (Slot("metric"),)},
    alike=Alike(frozenset({"effectiveDateTime", "valueQuantity"}), _kind_of_reading, _reading_like),
    fields=(
        enrich(("data_type", "value", "unit"), "meta.profile", _profiles_of_reading, note="by metric and unit"),
        status("status", "status", READING_STATUS),
        _category(),
        _metric(wearables.READING_CODES, wearables.READING_TYPES, "unit", "device_type", "source"),
        _subject(),
        field("recorded_at", "effectiveDateTime", isos.instant, needed=True),
        lens(
            ("value", "unit"),
            ("valueQuantity", "dataAbsentReason"),
            _show_value,
            _take_value,
            needed=True,
            note="UCUM where known; dataAbsentReason of a number that is none",
        ),
        _device(),
    ),
)


# ---- daily statistics ---------------------------------------------------------------------------------------------

DAILY_STATUSES: Final = ("preliminary", "final", "corrected")
STATISTICS: Final = {"average": "avg_value", "minimum": "min_value", "maximum": "max_value", "sum": "sum_value"}
COUNT_UNIT: Final = "count"
DEFAULT_ZONE: Final = "UTC"


def _daily_status(values: tuple[Any, ...], _: Context) -> Node:
    """Return preliminary while the day is open, final once it is closed, corrected when data came later."""
    closed_at, corrected = values
    if closed_at is None:
        return "preliminary"
    return "corrected" if corrected else "final"


@lru_cache(maxsize=1024)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return ZoneInfo(DEFAULT_ZONE)


def day_period(day: date, zone: str) -> dict[str, str]:
    """Return the Period of a day in an IANA time zone: local midnight to the last millisecond.

    UTC where the zone is unknown, or where the place had no zone of whole minutes at that time.
    """
    start = datetime(day.year, day.month, day.day, tzinfo=_zone(zone))
    end = start.replace(hour=23, minute=59, second=59, microsecond=999000)
    offsets = [moment.utcoffset() or timedelta() for moment in (start, end)]
    if any(offset.total_seconds() % 60 for offset in offsets):
        start, end = start.replace(tzinfo=UTC), end.replace(tzinfo=UTC)
    return {"start": start.isoformat(), "end": end.isoformat(timespec="milliseconds")}


def _own_zone(metadata: Json) -> str | None:
    zone = metadata.get("timeZone") if isinstance(metadata, dict) else None
    return zone if isinstance(zone, str) else None


def _show_day(values: tuple[Any, ...], context: Context) -> tuple[Node]:
    zone = _own_zone(context.view.metadata) or context.lookups.time_zones.get(context.view.customer_id, DEFAULT_ZONE)
    return (Whole(day_period(values[0], zone), [values[0].isoformat(), zone]),)


def _take_day(found: tuple[Json, ...], context: Context) -> tuple[date]:
    """Take the day of a Period that is exactly one day in the customer's zone."""
    period = found[0] if isinstance(found[0], dict) else {}
    start, end = isos.column_instant(period.get("start")), isos.column_instant(period.get("end"))
    zone = _zone_of_written(context)
    try:
        day = start.astimezone(_zone(zone)).date()
    except OverflowError as error:
        raise Refusal("is outside the calendar", final=True) from error
    whole = day_period(day, zone)
    late = isos.column_instant(whole["end"]) - end
    if start != isos.column_instant(whole["start"]) or abs(late) > timedelta(seconds=1):
        raise Refusal("is not one day in the patient's time zone", final=True)
    return (day,)


def _zone_of_written(context: Context) -> str:
    if context.view is not None and _own_zone(context.view.metadata):
        return str(_own_zone(context.view.metadata))
    subject = context.written.get("subject", {}) if isinstance(context.written, dict) else {}
    home = context.lookups.homes.get(subject.get("reference", ""))
    known = context.lookups.time_zones
    if home is not None:
        return str(known.get(home.key) or home.facts.get("timezone") or DEFAULT_ZONE)
    return known.get(context.view.customer_id, DEFAULT_ZONE) if context.view is not None else DEFAULT_ZONE


def _show_statistics(values: tuple[Any, ...], _: Context) -> tuple[Node, ...]:
    """Show the average as the value, and every statistic as a component."""
    *numbers, count, unit = values
    nodes = [quantity(Measured(isos.number(n)), unit) if n is not None and n.is_finite() else ABSENT for n in numbers]
    counted = ABSENT if count is None else quantity(Measured(count), COUNT_UNIT)
    return (nodes[0], *nodes, counted)


def _take_statistics(found: tuple[Json, ...], context: Context) -> tuple[Any, ...]:
    """Take the statistics; all of them in one unit."""
    value, component, *others, count = found
    average = component if value is ABSENT else value
    quantities = [item for item in (average, *others) if item is not ABSENT]
    current = context.view.unit if context.view else None
    units = {quantity_unit(item, current) for item in quantities} or {current}
    if len(units) != 1 or None in units:
        raise Refusal("statistics have no unit, or several", final=True)
    numbers = [None if item is ABSENT else plain_number(item) for item in (average, *others)]
    return (*numbers, None if count is ABSENT else _whole(plain_number(count)), units.pop())


def _whole(value: Decimal) -> int:
    if value != int(value) or abs(value) >= 2**31:
        raise Refusal("is not a count", final=True)
    return int(value)


def _nothing_measured(values: tuple[Any, ...], _: Context) -> Node:
    if any(value is not None for value in values):
        return ABSENT
    return Whole({"coding": [{"system": systems.DATA_ABSENT_CODE, "code": "unknown"}]}, "unknown")


def _profiles_of_day(values: tuple[Any, ...], context: Context) -> Node:
    *statistics, unit = values
    average, *parts = (node is not ABSENT for node in _show_statistics(values, context))
    shown = ["valueQuantity"] if average else []
    if any(value is not None for value in statistics):
        shown += ["component"] if any(parts) else []
    else:
        shown.append("dataAbsentReason")
    return list(_claims(context.view.data_type, unit, *shown)) or ABSENT


def _statistic(code: str) -> Slot:
    return Slot(code, {"code": {"coding": [{"system": systems.OBSERVATION_STATISTICS, "code": code}]}})


def _no_daily_statistic(resource: Json, _: Lookups) -> str | None:
    if resource.get("status") not in DAILY_STATUSES:
        return "Observation.status of a daily statistic is preliminary, final or corrected"
    return None


DAILY_STATISTIC: Final = ResourceMapper(
    "Observation",
    table="patient_wearable_daily_stats",
    name="wearable_daily_stat",
    row_type=WearableDailyStat,
    internal_endpoint="/graph/wearables/daily-stats",
    about="Claimed with a wearable metric's code and a Period that is one day in the customer's time zone.",
    telemetry=True,
    pace=lambda row: OPEN_DAY_PACE if row.closed_at is None else None,
    shows=(Shows("customer_id", "customer_profiles", uses=("timezone",), by=TIME_ZONE),),
    reads=("metadata",),
    refuses=_no_daily_statistic,
    together=(("value", "dataAbsentReason", "interpretation", "referenceRange"), ("effective",)),
    slots={
        "category": (Slot("metric"),),
        "component": tuple(map(_statistic, (*STATISTICS, "count"))),
    },
    fields=(
        enrich(
            (*STATISTICS.values(), "count", "unit"),
            "meta.profile",
            _profiles_of_day,
            note="by metric and unit",
            also=("data_type",),
        ),
        derived(
            ("closed_at", "corrected"),
            "status",
            _daily_status,
            note="open day → preliminary, closed → final, changed after it was closed → corrected",
        ),
        _category(),
        _metric(wearables.DAILY_CODES, wearables.DAILY_TYPES, "unit", "count"),
        _subject(),
        lens(
            ("date",),
            ("effectivePeriod",),
            _show_day,
            _take_day,
            needed=True,
            sources=(("date", "customer_id", "metadata"),),
            note="in the profile's time zone",
        ),
        lens(
            (*STATISTICS.values(), "count", "unit"),
            ("valueQuantity", *(f"component[{code}].valueQuantity" for code in (*STATISTICS, "count"))),
            _show_statistics,
            _take_statistics,
            needed=True,
            sources=(*((column, "unit") for column in ("avg_value", *STATISTICS.values())), ("count",)),
            note="the average is the value; components of observation-statistics",
        ),
        enrich((*STATISTICS.values(), "count"), "dataAbsentReason", _nothing_measured),
    ),
)

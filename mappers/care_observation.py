"""Observation ⇄ `observations` of the care platform, with their metric definitions (mapping.md Observation)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import quote, unquote

from mappers import care_values, care_values_written, isos, systems
from mappers.annotations import notes
from mappers.care_metrics import (
    category_of,
    concept_of,
    metric_need,
    names,
    written_coding,
)
from mappers.care_rows import CareObservation, Enrollment, MetricDefinition
from mappers.care_values import VALUES
from mappers.errors import Refusal
from mappers.fields import Context, enrich, field, lens, reference, reference_needs, status
from mappers.json_values import ABSENT, Json, same
from mappers.lens import ResourceMapper, Shows
from mappers.lookups import Need, metric_key
from mappers.nodes import Node, Slot, Whole, plain
from mappers.observation import READING_STATUS
from mappers.observation_profiles import observation_profiles

OBSERVATIONS: Final = "observations"
METRICS: Final = "metric_definitions"
ENROLLMENTS: Final = "enrollments"
PATIENTS: Final = "patients"
MANUAL: Final = "MANUAL"
DEVICE: Final = "DEVICE"
API: Final = "API"
SOURCES: Final = (MANUAL, DEVICE, API, "IMPORT")

_MEASURED: Final = ("metric_id", "metric_organization_id", "value", "unit")


# ---- metric and value ---------------------------------------------------------------------------------------------


def _metric(row: Any, context: Context) -> MetricDefinition | None:
    found: MetricDefinition | None = context.lookups.row(METRICS, row.metric_id, row.metric_organization_id)
    return found


def _shown(row: Any, metric: MetricDefinition | None, bare: bool) -> dict[str, Json]:
    """Return the elements of a row's value: one of VALUES, `component`; with the ranges of members unless `bare`."""
    said = care_values.reading(row.value, row.unit, metric)
    shown = care_values.show(said, metric)
    if "component" in shown and not bare:
        shown["component"] = care_values.usual_of_members(said, shown["component"], metric)
    return shown


def _guard(row: Any) -> Json:
    """Return the guard of whatever shows a value: it is the value of one metric, in one unit."""
    return [row.value, row.unit, row.metric_id, row.metric_organization_id]


def _show_measured(_values: tuple[Any, ...], context: Context) -> tuple[Node, ...]:
    row = context.view
    metric = _metric(row, context)
    shown = _shown(row, metric, context.bare)
    guarded = {name: Whole(value, _guard(row)) for name, value in shown.items()}
    category = category_of(metric)
    return (
        concept_of(metric, bare=context.bare),
        ABSENT if category is None else category,
        *(guarded.get(name, ABSENT) for name in (*VALUES, "component")),
    )


def _elements(found: tuple[Json, ...]) -> dict[str, Json]:
    """Return what was written of a value by element; `found` is in the order of the field's paths."""
    return {name: value for name, value in zip((*VALUES, "component"), found[2:], strict=True) if value is not ABSENT}


def _needs(found: tuple[Json, ...]) -> Iterable[Need]:
    concept, category, *_ = found
    elements = _elements(found)
    kind = care_values_written.written_kind(elements)
    need = metric_need(concept, kind, care_values_written.first_amount(elements), category)
    return () if need is None else (need,)


def _take_measured(found: tuple[Json, ...], context: Context) -> tuple[Any, ...]:
    """Take metric, value and unit: which metric a code means depends on the kind of its value."""
    elements, row = _elements(found), context.view
    _refuse_others(context.written)
    before = None if row is None else _metric(row, context)
    if row is not None and (_is_shown(found[0], before) or (before is not None and names(found[0], before))):
        metric, ids = before, (row.metric_id, row.metric_organization_id)
    else:
        metric = _named_metric(found[0], elements, context)
        ids = (metric.id, metric.organization_id)
    if row is not None and (not elements or any(_same(elements, _shown(row, before, bare)) for bare in (False, True))):
        return (*ids, row.value, row.unit)
    if not elements:
        raise Refusal("comes without a value, and nothing says why", final=True)
    now = (None, None) if row is None else (row.value, row.unit)
    return (*ids, *care_values_written.take(elements, metric, *now))


def _refuse_others(written: Json) -> None:
    other = next((name for name in written if name.startswith("value") and name not in VALUES), None)
    if other is not None:
        raise Refusal(f"is with {other}, which no metric has", final=True)


def _is_shown(concept: Json, metric: MetricDefinition | None) -> bool:
    return any(same(plain(concept_of(metric, bare=bare)), concept) for bare in (False, True))


def _same(elements: dict[str, Json], shown: dict[str, Json]) -> bool:
    return same(elements, shown)


def _named_metric(concept: Json, elements: dict[str, Json], context: Context) -> MetricDefinition:
    coding = written_coding(concept)
    key = metric_key(*coding, care_values_written.written_kind(elements)) if coding is not None else ""
    found = context.lookups.metrics.get(key)
    if found is None:
        raise Refusal("names no metric with such values", final=True)
    return found


def _usual(element: str) -> Any:
    def show(_values: tuple[Any, ...], context: Context) -> Node:
        row = context.view
        metric = _metric(row, context)
        found = care_values.usual(_shown(row, metric, bare=True), metric)
        return Whole(found[element], _guard(row)) if element in found else ABSENT

    return show


def _profiles(_values: tuple[Any, ...], context: Context) -> Node:
    """Return the profiles that an observation follows by its code, category, value and units."""
    metric = _metric(context.view, context)
    category = category_of(metric)
    codings = concept_of(metric, bare=False).value.get("coding", [])
    own = None if category is None else category.guard
    return observation_profiles(codings, own, _shown(context.view, metric, bare=True)) or ABSENT


# ---- where it comes from ------------------------------------------------------------------------------------------


def source_of(source: str, identifier: str | None) -> str | None:
    """Return `meta.source` for a source and its identifier; None where there is nothing to tell.

    An identifier that is a URI stands for itself. What came through FHIR without a word about it is of the API.
    """
    if source == API and identifier is None:
        return None
    if source == API and identifier is not None and _is_foreign(identifier):
        return identifier
    told = systems.SOURCE + quote(source, safe="")
    return told if identifier is None else f"{told}/{quote(identifier, safe='')}"


def source_from(uri: str) -> tuple[str, str | None] | None:
    """Return source and identifier of a `meta.source`, the inverse of `source_of`; None where it is none of ours."""
    if _is_foreign(uri):
        return API, uri
    source, *identifier = map(unquote, uri.removeprefix(systems.SOURCE).split("/"))
    if source not in SOURCES or len(identifier) > 1 or not uri.startswith(systems.SOURCE):
        return None
    return source, identifier[0] if identifier else None


def _is_foreign(text: str) -> bool:
    return isos.is_uri(text) and ":" in text and not text.startswith(systems.SOURCE)


def _show_source(values: tuple[Any, ...], _: Context) -> tuple[Node, Node]:
    """Show the device that measured; or, of an observation without one, the source."""
    source, identifier = values
    words = ABSENT if identifier is None else isos.fhir_text(identifier)
    if source == DEVICE and words is not ABSENT:
        shown = {"identifier": {"system": systems.MEASURING_DEVICE, "value": words}, "display": words}
        return Whole(shown, identifier), ABSENT
    told = source_of(source, identifier)
    return ABSENT, ABSENT if told is None else told


def _take_source(found: tuple[Json, ...], context: Context) -> tuple[str, str | None]:
    """Take a device by its identifier, or else by the reference or words there are; or take `meta.source`."""
    device, uri = found
    named = _device_named(device) if isinstance(device, dict) else None
    if named is not None:
        return DEVICE, named
    told = source_from(uri) if isinstance(uri, str) else None
    if told is not None:
        return told
    return (API if context.view is None else context.view.source), None


def _device_named(device: dict[str, Json]) -> str | None:
    identifier = device.get("identifier")
    number = identifier.get("value") if isinstance(identifier, dict) else None
    return next((text for text in (number, device.get("reference"), device.get("display")) if _says(text)), None)


def _says(text: Json) -> bool:
    return isinstance(text, str) and isos.fhir_text(text) is not ABSENT


# ---- enrollment ---------------------------------------------------------------------------------------------------


def _is_plan(element: Json) -> bool:
    literal = element.get("reference") if isinstance(element, dict) else None
    return isinstance(literal, str) and (literal.startswith(("CarePlan/", "urn:")) or "/CarePlan/" in literal)


def _show_enrollment(values: tuple[Any, ...], context: Context) -> tuple[Node]:
    if values[0] is None:
        return (ABSENT,)
    literal = context.lookups.reference("CarePlan", ENROLLMENTS, values[0])
    return (Whole({"reference": literal}, literal),)


def _take_enrollment(found: tuple[Json, ...], context: Context) -> tuple[str | None]:
    """Take the enrollment that a care plan is, if it is the same patient's."""
    homes = context.lookups.homes
    home = homes.get(found[0].get("reference", "")) if isinstance(found[0], dict) else None
    if home is None or home.table != ENROLLMENTS:
        raise Refusal("refers to nothing in enrollments")
    enrollment: Enrollment | None = context.lookups.row(ENROLLMENTS, home.key)
    subject = homes.get(context.written.get("subject", {}).get("reference", ""))
    if enrollment is None or subject is None or enrollment.patient_id != subject.key:
        raise Refusal("is the plan of another patient")
    return (home.key,)


CARE_OBSERVATION: Final = ResourceMapper(
    "Observation",
    table=OBSERVATIONS,
    name="care_observation",
    row_type=CareObservation,
    internal_endpoint="/care/observations",
    about="Claimed with a Patient of `patients`, a code with its system, a dateTime with time, and a value that a "
    "metric can have. A metric that nobody defined is made, hidden from the catalogue.",
    together=(("value", "dataAbsentReason", "interpretation", "referenceRange", "component"), ("effective",)),
    shows=(
        Shows(
            "metric_id",
            METRICS,
            uses=(
                "key",
                "name",
                "value_type",
                "unit",
                "ucum",
                "category",
                "code_system",
                "code",
                "validation_info",
                "normal_range",
                "origin",
            ),
        ),
        Shows("enrollment_id", ENROLLMENTS, uses=("patient_id",)),
    ),
    slots={"category": (Slot("metric"),), "basedOn": (Slot("plan", accepts=_is_plan),)},
    fields=(
        enrich(_MEASURED, "meta.profile", _profiles, note="by code, category, value and unit"),
        lens(
            ("enrollment_id",),
            ("basedOn[plan]",),
            _show_enrollment,
            _take_enrollment,
            needs=reference_needs,
            note="CarePlan of enrollments, of the same patient",
        ),
        status("status", "status", READING_STATUS),
        lens(
            _MEASURED,
            ("code", "category[metric]", *VALUES, "component"),
            _show_measured,
            _take_measured,
            needed=True,
            needs=_needs,
            sources=(
                *[("metric_id", "metric_organization_id")] * 2,
                *[("value", "unit", "metric_id", "metric_organization_id")] * 7,
            ),
            note="category and code of the metric: its code, else a local one. A number or a text that reads as one → "
            "Quantity in the unit written, else the metric's; words, yes or no, coded values as such; members → "
            "components; null → dataAbsentReason",
        ),
        reference("patient_id", "subject", "Patient", PATIENTS, needed=True),
        field("recorded_at", "effectiveDateTime", isos.instant, needed=True),
        enrich(_MEASURED, "interpretation", _usual("interpretation"), note="by the metric's normal range"),
        notes(),
        lens(
            ("source", "source_identifier"),
            ("device", "meta.source"),
            _show_source,
            _take_source,
            always=True,
            empty=(API, None),
            note="the device that measured, by its identifier; else the source in meta.source",
        ),
        enrich(_MEASURED, "referenceRange", _usual("referenceRange"), note="the metric's normal range"),
    ),
)

"""DiagnosticReport ⇄ `lab_results` (mapping.md Observation, settled §1.9)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any, Final

from mappers import isos, systems
from mappers.errors import Refusal
from mappers.fields import Context, constant, enrich, field, lens, profile, status, unknown_without
from mappers.identity import part_resource_id
from mappers.json_values import ABSENT, Json
from mappers.lab_observation import LAB_OBSERVATION, REPORT_STATUS, SUBJECT, VALUES, show_lab_date
from mappers.labs import LAB_RESULTS, biomarker_key, biomarker_keys
from mappers.lens import NotClaimed, ResourceMapper
from mappers.lookups import MEMBER, Lookups, Need
from mappers.nodes import Node, Slot, Whole
from mappers.rows import LabResult

CATEGORY: Final = Whole({"coding": [{"system": systems.DIAGNOSTIC_SERVICE, "code": "LAB"}]}, "LAB")
CODE: Final = Whole(
    {"coding": [{"system": systems.LAB_REPORT, "code": "laboratory"}], "text": "Laboratory report"}, "laboratory"
)


def _take_lab_date(found: tuple[Json, ...], _: Context) -> tuple[str, date | None]:
    """Take a dateTime as it was written, and its day in the zone it was written in."""
    written = found[0]
    if not isos.is_date_time(written):
        raise Refusal("is not a dateTime")
    return written, date.fromisoformat(written[:10]) if len(written) >= len("2026-03-15") else None


def _results(context: Context) -> Node:
    """Refer to the Observation of each biomarker; a result is known by its biomarker's key."""
    return {key: _result(context.view.id, key) for key in biomarker_keys(context.view)} or ABSENT


def _result(row_id: str, key: str) -> Whole:
    literal = f"Observation/{part_resource_id(LAB_RESULTS, row_id, key)}"
    words = isos.fhir_text(key)
    return Whole({"reference": literal} if words is ABSENT else {"reference": literal, "display": words}, key)


def _members(found: tuple[Json, ...]) -> Iterable[Need]:
    """Yield the need of each result, which makes a new row only if it is written together with the report."""
    for element in found[0] or ():
        if isinstance(element.get("reference"), str):
            yield Need(MEMBER, element["reference"])


def _take_results(found: tuple[Json, ...], context: Context) -> tuple[Json]:
    """Take the biomarkers of a new report from its results; later ones are written through their Observations."""
    if context.view is not None:
        return (context.view.biomarkers,)
    parts = result_parts(context.written, context.lookups)
    if parts is None or len(parts) != len(found[0]):
        raise Refusal("names results that do not come with it", final=True)
    row = LabResult("", "", _customer(context.written, context.lookups), "pending", dict.fromkeys(parts.values()))
    for reference, key in parts.items():
        observation = context.lookups.members[reference]
        outcome = LAB_OBSERVATION.absorb(observation, context.lookups, row, key)
        if isinstance(outcome, NotClaimed):
            raise Refusal(f"has a result that is no biomarker ({outcome.reason})", final=True)
        row = outcome.row
    return (row.biomarkers,)


def _customer(resource: Json, lookups: Lookups) -> str:
    home = lookups.homes.get(resource.get("subject", {}).get("reference", ""))
    return home.key if home is not None and home.table == "customer_profiles" else ""


def result_parts(report: Json, lookups: Lookups) -> Mapping[str, str] | None:
    """Return the biomarker key of each result of a new report: reference → key.

    None unless every result is a laboratory Observation with a value, written in the same transaction about the same
    customer, and no two have one key.
    """
    references = [element.get("reference", "") for element in report.get("result", ())]
    parts = {reference: _biomarker(lookups.members.get(reference), report, lookups) for reference in references}
    keys = {reference: key for reference, key in parts.items() if key is not None}
    if not keys or len(keys) != len(references) or len(set(keys.values())) != len(keys):
        return None
    return keys


def _biomarker(observation: Json, report: Json, lookups: Lookups) -> str | None:
    """Return the key that an Observation gets in a report, None where it is no plain laboratory value."""
    if not isinstance(observation, dict) or observation.get("resourceType") != "Observation":
        return None
    same_customer = _customer(observation, lookups) == _customer(report, lookups)
    plain_value = any(element in observation for element in VALUES) and "component" not in observation
    laboratory = any(
        coding.get("system") == systems.OBSERVATION_CATEGORY and coding.get("code") == "laboratory"
        for concept in observation.get("category", ())
        for coding in concept.get("coding", ())
    )
    if not (same_customer and plain_value and laboratory) or observation.get("status") not in REPORT_STATUS.defaults:
        return None
    return biomarker_key(observation.get("code", {}))


def _provider(values: tuple[Any, ...], _: Context) -> tuple[Node]:
    words = isos.fhir_text(values[0]) if values[0] is not None else ABSENT
    return (Whole({"display": words}, words) if words is not ABSENT else ABSENT,)


def _take_provider(found: tuple[Json, ...], _: Context) -> tuple[Any]:
    if not isinstance(found[0], dict) or not isinstance(found[0].get("display"), str):
        raise Refusal("has no display")
    return (found[0]["display"],)


def _undated(values: tuple[Any, ...], context: Context) -> Node:
    """US Core wants the date of a report, or the reason why there is none (us-core-8)."""
    return [systems.data_absent()] if show_lab_date(values, context) is ABSENT else ABSENT


LAB_REPORT: Final = ResourceMapper(
    "DiagnosticReport",
    table=LAB_RESULTS,
    name="lab_report",
    row_type=LabResult,
    internal_endpoint="/graph/labs",
    about="Claimed with results that are laboratory Observations of the same transaction and customer.",
    adopts=result_parts,
    together=(("effective",),),
    slots={
        "identifier": (Slot("upload", {"system": systems.LAB_UPLOAD}),),
        "category": (Slot("laboratory"),),
        "performer": (Slot("provider"),),
        "result": (Slot("biomarkers", many=True),),
        "presentedForm": (Slot("file"),),
    },
    fields=(
        profile(f"{systems.US_CORE}us-core-diagnosticreport-lab"),
        field("upload_id", "identifier[upload].value"),
        status("status", "status", REPORT_STATUS),
        constant("category[laboratory]", CATEGORY),
        constant("code", CODE),
        SUBJECT,
        lens(
            ("lab_date", "lab_day"),
            ("effectiveDateTime",),
            lambda values, context: (show_lab_date(values, context),),
            _take_lab_date,
            note="the text where it is a dateTime, else its day",
        ),
        enrich(("lab_date", "lab_day"), "_effectiveDateTime.extension", _undated, note="data-absent-reason"),
        field("reviewed_at", "issued", isos.instant),
        unknown_without("reviewed_at", "_issued"),
        lens(("provider",), ("performer[provider]",), _provider, _take_provider, note="by name"),
        lens(
            ("biomarkers",),
            ("result[biomarkers]",),
            lambda _, context: (_results(context),),
            _take_results,
            needed=True,
            needs=_members,
            note="one Observation each; a new report takes those that are written with it",
        ),
        field("notes", "conclusion"),
        field("file_url", "presentedForm[file].url", isos.uri),
    ),
)

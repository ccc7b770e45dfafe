"""DiagnosticReport ⇄ `lab_results` (mapping.md Observation, settled §1.9)."""

from __future__ import annotations

from datetime import date
from typing import Any, Final

from mappers import isos, systems
from mappers.errors import Refusal
from mappers.fields import Context, constant, derived, field, lens, profile, status
from mappers.identity import part_resource_id
from mappers.json_values import ABSENT, Json
from mappers.lab_observation import REPORT_STATUS, SUBJECT, show_lab_date
from mappers.labs import LAB_RESULTS
from mappers.lens import ResourceMapper
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


def _results(values: tuple[Any, ...], context: Context) -> Node:
    """Refer to the Observation of each biomarker."""
    keys = values[0] if isinstance(values[0], dict) else {}
    row = context.view
    nodes = []
    for key in keys:
        chosen = context.lookups.resource_ids.get(("Observation", f"{LAB_RESULTS}/{key}", row.id))
        literal = f"Observation/{chosen or part_resource_id(LAB_RESULTS, row.id, key)}"
        words = isos.fhir_text(key)
        nodes.append(
            Whole({"reference": literal} if words is ABSENT else {"reference": literal, "display": words}, key)
        )
    return nodes or ABSENT


def _provider(values: tuple[Any, ...], _: Context) -> tuple[Node]:
    words = isos.fhir_text(values[0]) if values[0] is not None else ABSENT
    return (Whole({"display": words}, words) if words is not ABSENT else ABSENT,)


def _take_provider(found: tuple[Json, ...], _: Context) -> tuple[Any]:
    if not isinstance(found[0], dict) or not isinstance(found[0].get("display"), str):
        raise Refusal("has no display")
    return (found[0]["display"],)


LAB_REPORT: Final = ResourceMapper(
    "DiagnosticReport",
    table=LAB_RESULTS,
    name="lab_report",
    row_type=LabResult,
    internal_endpoint="/graph/labs",
    creatable=False,
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
        field("reviewed_at", "issued", isos.instant),
        lens(("provider",), ("performer[provider]",), _provider, _take_provider, note="by name"),
        derived(("biomarkers",), "result[biomarkers]", _results, note="one Observation each"),
        field("notes", "conclusion"),
        field("file_url", "presentedForm[file].url", isos.uri),
    ),
)

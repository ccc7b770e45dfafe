"""Activities of an enrollment's CarePlan: the assessments and metrics of its care program (mapping.md CarePlan).

A program names a condition preset, the preset its assessments with how often they are due, an assessment its metrics.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from mappers import isos
from mappers.care_metrics import coding_of
from mappers.care_rows import (
    AssessmentTemplate,
    AssessmentTemplateItem,
    ConditionPreset,
    ConditionPresetTemplate,
    Enrollment,
    MetricDefinition,
)
from mappers.enrollments import PROGRAM_TABLE, program_of, shown_text
from mappers.fields import Context
from mappers.json_values import ABSENT, Json
from mappers.lens import Shows
from mappers.lookups import Lookups
from mappers.nodes import Node, Whole
from mappers.timing import timing

PRESET: Final = Shows(
    "condition_preset_id",
    "condition_presets",
    of=PROGRAM_TABLE,
    uses=("condition_preset_diagnoses", "condition_preset_templates"),
)
"""The preset of a care program: its diagnoses and assessments."""
ASSESSMENTS: Final = (
    Shows(
        "template_id",
        "assessment_templates",
        of="condition_preset_templates",
        uses=("name", "description", "assessment_template_items"),
    ),
    Shows(
        "metric_definition_id",
        "metric_definitions",
        of="assessment_template_items",
        uses=("key", "name", "code_system", "code"),
    ),
)
"""What the assessments of a preset lead to."""
ACTIVITY_STATUSES: Final = {
    "PENDING": "not-started",
    "ACTIVE": "in-progress",
    "INACTIVE": "on-hold",
    "COMPLETED": "completed",
    "WITHDRAWN": "stopped",
}
"""Enrollment status → FHIR R4 valueset-care-plan-activity-status."""
_DAYS: Final = re.compile(r"[1-9]\d{0,3}", re.ASCII)


def preset_of(enrollment: Enrollment, lookups: Lookups) -> ConditionPreset | None:
    """Return the condition preset of an enrollment's care program."""
    program = program_of(enrollment, lookups)
    if program is None:
        return None
    preset: ConditionPreset | None = lookups.row(
        PRESET.table, program.condition_preset_id, program.condition_preset_organization_id
    )
    return preset


def show_activities(values: tuple[Any, ...], context: Context) -> Node:
    """Show one detail for each assessment and, once, for each metric that one asks for; values: the row's status."""
    status = ACTIVITY_STATUSES[values[0]]
    details = _details(context.view, context.lookups)
    return {key: Whole({"detail": {**one, "status": status}}, [one, status]) for key, one in details.items()} or ABSENT


def activity_names(enrollment: Enrollment, lookups: Lookups) -> list[str]:
    """Return the activities in words."""
    return [detail["code"]["text"] for detail in _details(enrollment, lookups).values()]


def _details(enrollment: Enrollment, lookups: Lookups) -> dict[str, dict[str, Json]]:
    """Return the details by the keys of their rows, in the order of the preset and its assessments."""
    found: dict[str, dict[str, Json]] = {}
    for link, template in _assessments(enrollment, lookups):
        often = _often(link.frequency)
        name = shown_text(template.name)
        if name is not None:
            code = {"kind": "Task", "code": {"text": name}}
            found[f"assessment {link.id}"] = {**code, **often, **_description(template.description)}
        for item, metric in _metrics(template, lookups):
            detail = {"kind": "ServiceRequest", "code": _concept(metric), **often, **_description(item.help_text)}
            found.setdefault(f"metric {metric.organization_id} {metric.id}", detail)
    return found


def _assessments(
    enrollment: Enrollment, lookups: Lookups
) -> Iterator[tuple[ConditionPresetTemplate, AssessmentTemplate]]:
    preset = preset_of(enrollment, lookups)
    links = preset.condition_preset_templates if preset is not None else ()
    for link in sorted(links, key=lambda one: (one.display_order, one.id)):
        template = lookups.row("assessment_templates", link.template_id, link.template_organization_id)
        if template is not None:
            yield link, template


def _metrics(
    template: AssessmentTemplate, lookups: Lookups
) -> Iterator[tuple[AssessmentTemplateItem, MetricDefinition]]:
    for item in sorted(template.assessment_template_items, key=lambda one: (one.display_order, one.id)):
        metric = lookups.row("metric_definitions", item.metric_definition_id, item.metric_definition_organization_id)
        if metric is not None and (shown_text(metric.name) or coding_of(metric)):
            yield item, metric


def _concept(metric: MetricDefinition) -> dict[str, Json]:
    coding = coding_of(metric)
    words = shown_text(metric.name)
    coded = {"coding": [{"system": coding[0], "code": coding[1]}]} if coding else {}
    return {**coded, "text": words if words is not None else coding[1] if coding else ""}


def _often(frequency: str | None) -> dict[str, Json]:
    """Show how often an assessment is due: a number counts days ("7"), other text is a Timing where it is one."""
    words = shown_text(frequency)
    if words is None:
        return {}
    if _DAYS.fullmatch(words.strip()):
        return {"scheduledTiming": {"repeat": {"frequency": 1, "period": int(words), "periodUnit": "d"}}}
    often = timing(words)
    return {"scheduledString": words} if often is ABSENT else {"scheduledTiming": often}


def _description(words: str | None) -> dict[str, Json]:
    text = ABSENT if words is None else isos.fhir_text(words)
    return {} if text is ABSENT else {"description": text}

"""The care platform's catalogue: an organization's own rows, and those that all organizations share (settled §2.1).

Both are read; only own rows are changed. Shared rows are written in a unit of work of the organization SHARED.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, or_

from mappers.care_rows import AssessmentTemplate, ConditionPreset, MetricDefinition
from storage.repositories.care_entities import AlertRule, BillingProgram
from storage.repositories.table import FIRST, Identified, Page, TableRepository, Window
from storage.rows import fetch_rows, load_rows
from storage.tables.columns import SHARED

C = TypeVar("C", bound=Identified)

ORIGIN_FHIR = "fhir"
"""`origin` of metric definitions that a written Observation called for (settled §1.13)."""


class CatalogueRepository(TableRepository[C]):
    """The rows of one catalogue table that the organization sees."""

    async def find(self, row_id: str) -> C | None:
        """Return the organization's own row with this id, else the shared one, None when there is neither."""
        return await self.find_of(self.unit.organization_id, row_id) or await self.find_of(SHARED, row_id)

    async def find_of(self, organization_id: str, row_id: str) -> C | None:
        """Return the row with this id of the organization itself or of SHARED, None when there is none."""
        connection, reader = self.unit.connection, self.unit.organization_id
        if organization_id not in (reader, SHARED):
            raise ValueError("a catalogue row is the organization's own, or shared")
        return (await load_rows(connection, self.table_name, organization_id, [row_id], reader=reader)).get(row_id)

    def _visible(self) -> tuple[ColumnElement[bool], ...]:
        return (self.table.c.organization_id.in_((self.unit.organization_id, SHARED)),)

    async def _seen(self, conditions: Sequence[ColumnElement[bool]]) -> Sequence[C]:
        """Return own and shared rows that meet the conditions, own ones first."""
        columns = self.table.c
        order = ((columns.organization_id == SHARED), columns.id)
        visible = (*self._visible(), *conditions)
        connection, reader = self.unit.connection, self.unit.organization_id
        found: Sequence[C] = await fetch_rows(connection, self.shape, reader, visible, order=order)
        return found


class MetricDefinitionRepository(CatalogueRepository[MetricDefinition]):
    """Rows of `metric_definitions`."""

    table_name = "metric_definitions"

    async def list(
        self, *, category: str | None = None, key: str | None = None, window: Window = FIRST
    ) -> Page[MetricDefinition]:
        """Return metric definitions, newest first, without those that a written Observation called for."""
        origin: ColumnElement[Any] = self.table.c.origin
        catalogued = or_(origin.is_(None), origin != ORIGIN_FHIR)
        return await self._page({"category": category, "key": key}, window, [catalogued])

    async def by_code(self, code_system: str | None, code: str) -> Sequence[MetricDefinition]:
        """Return the definitions of a code, own ones first; `code_system` as the rows spell it."""
        return await self._seen([self.table.c.code == code, self.table.c.code_system.is_not_distinct_from(code_system)])


class AssessmentTemplateRepository(CatalogueRepository[AssessmentTemplate]):
    """Rows of `assessment_templates`, with their items."""

    table_name = "assessment_templates"

    async def list(self, *, window: Window = FIRST) -> Page[AssessmentTemplate]:
        """Return assessment templates, newest first."""
        return await self._page({}, window)


class ConditionPresetRepository(CatalogueRepository[ConditionPreset]):
    """Rows of `condition_presets`, with their diagnoses and assessments."""

    table_name = "condition_presets"

    async def list(self, *, category: str | None = None, window: Window = FIRST) -> Page[ConditionPreset]:
        """Return condition presets, newest first."""
        return await self._page({"category": category}, window)


class AlertRuleRepository(CatalogueRepository[AlertRule]):
    """Rows of `alert_rules`."""

    table_name = "alert_rules"

    async def list(
        self, *, severity: str | None = None, is_active: bool | None = None, window: Window = FIRST
    ) -> Page[AlertRule]:
        """Return alert rules, newest first."""
        return await self._page({"severity": severity, "is_active": is_active}, window)


class BillingProgramRepository(CatalogueRepository[BillingProgram]):
    """Rows of `billing_programs`, with their CPT codes."""

    table_name = "billing_programs"

    async def list(
        self, *, program_type: str | None = None, is_active: bool | None = None, window: Window = FIRST
    ) -> Page[BillingProgram]:
        """Return billing programs, newest first."""
        return await self._page({"program_type": program_type, "is_active": is_active}, window)

    async def in_effect(self, program_type: str, at: datetime) -> Sequence[BillingProgram]:
        """Return the active programs of a type that are in effect at an instant, own ones first."""
        columns = self.table.c
        conditions = [
            columns.program_type == program_type,
            columns.is_active,
            columns.effective_date <= at,
            or_(columns.expiration_date.is_(None), columns.expiration_date > at),
        ]
        return await self._seen(conditions)

"""What has been looked up in one unit of work, for mappers to take (settled §1.3, §1.8)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from sqlalchemy import ColumnElement, bindparam, literal_column, select

from mappers.care_rows import MetricDefinition
from mappers.json_values import Json
from mappers.lens import ResourceMapper, Row
from mappers.lookups import EmrRecord, Home, Lookups, Need, PersonLink, Treatment
from mappers.telemetry import Telemetry
from storage.driver import Question
from storage.projection.telemetry import telemetry_of
from storage.sql import Prepared, prepare
from storage.tables.fhir import telemetry_settings
from storage.tables.platform import organizations
from storage.transaction import UnitOfWork

RowKey = tuple[str, str, str]
"""Table, organization (its own, or that of shared rows), key."""


@dataclass(slots=True)
class Facts:
    """What has been looked up in one unit of work; grows as resources find their homes."""

    organization_id: str
    base_url: str = ""
    organization_name: str | None = None
    home_system: str | None = None
    telemetry: Telemetry = field(default_factory=Telemetry)
    time_zone: str | None = None
    homes: dict[str, Home] = field(default_factory=dict)
    clinicians: dict[str, str] = field(default_factory=dict)
    treatments: dict[str, Treatment] = field(default_factory=dict)
    time_zones: dict[str, str] = field(default_factory=dict)
    links: dict[tuple[str, str], tuple[PersonLink, ...]] = field(default_factory=dict)
    members: dict[str, Json] = field(default_factory=dict)
    resource_ids: dict[tuple[str, str, str], str] = field(default_factory=dict)
    rows: dict[RowKey, Row] = field(default_factory=dict)
    sought: set[RowKey] = field(default_factory=set)
    """Rows that were asked for, whether they are there or not."""
    metrics: dict[str, MetricDefinition] = field(default_factory=dict)
    to_be_made: dict[str, MetricDefinition] = field(default_factory=dict)
    """Metric definitions of `metrics` that nobody has defined yet, by id (settled §1.13)."""
    emr_records: dict[str, EmrRecord] = field(default_factory=dict)
    emr_ids: dict[tuple[str, str, str, str], str] = field(default_factory=dict)
    asked: set[Need] = field(default_factory=set)

    def shows(self, mapper: ResourceMapper, row: Row) -> bool:
        """Whether a row is shown as a resource at all: a reading is not where its metric is shown by day only."""
        return mapper.metric is None or self.telemetry.shows(getattr(row, mapper.metric))

    def keep(self, table: str, row: Row) -> None:
        """Note a row as it stands in this unit of work."""
        self.rows[table, getattr(row, "organization_id", self.organization_id), row.id] = row

    def lookups(self) -> Lookups:
        """Return the view that mappers take; it shows what is added later too."""
        return Lookups(
            organization_id=self.organization_id,
            base_url=self.base_url,
            organization_name=self.organization_name,
            homes=self.homes,
            resource_ids=self.resource_ids,
            clinicians=self.clinicians,
            treatments=self.treatments,
            time_zones=self.time_zones,
            links=self.links,
            members=self.members,
            rows=self.rows,
            metrics=self.metrics,
            emr_records=self.emr_records,
            emr_ids=self.emr_ids,
            time_zone=self.time_zone,
        )


_ZONES: Final[Mapping[str, str]] = {
    "postgresql": "settings ->> 'timezone'",
    "sqlite": "CASE WHEN json_valid(settings) THEN json_extract(settings, '$.timezone') END",
}


@lru_cache
def _organization_statement(dialect: str) -> Prepared:
    zone: ColumnElement[str] = literal_column(_ZONES[dialect])
    columns = (organizations.c.name, organizations.c.home_system, zone, telemetry_settings.c.setting)
    joined = organizations.outerjoin(telemetry_settings, telemetry_settings.c.organization_id == organizations.c.id)
    statement = select(*columns).select_from(joined).where(organizations.c.id == bindparam("organization_id"))
    return prepare(statement, dialect)


def organization_question(organization_id: str, dialect: str) -> Question:
    """Return what `open_facts` asks."""
    return Question(_organization_statement(dialect), {"organization_id": organization_id})


async def open_facts(unit: UnitOfWork) -> Facts:
    """Return facts that know the unit's organization."""
    question = organization_question(unit.organization_id, unit.driver.dialect)
    rows = await unit.driver.fetch(question.statement, question.parameters)
    if not rows:
        return Facts(unit.organization_id, unit.base_url)
    name, home_system, zone, setting = rows[0]
    return Facts(
        unit.organization_id,
        unit.base_url,
        name,
        home_system,
        telemetry_of(setting),
        zone if isinstance(zone, str) else None,
    )

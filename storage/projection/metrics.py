"""Metric definitions that written Observations need; those that nobody defined are made (settled §1.13)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Final

from sqlalchemy import ForeignKey, or_
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from mappers.care_metrics import metrics_by_key, new_metric
from mappers.care_rows import SHARED, MetricDefinition
from mappers.lens import Row
from mappers.lookups import METRIC, Need
from storage.engine import NeededFirst
from storage.projection.facts import Facts
from storage.projection.needed import ASKED
from storage.rows import STAMPS, fetch_rows, overlong, shape_of
from storage.tables.care_platform import metric_definitions
from storage.transaction import UnitOfWork

TABLE: Final = metric_definitions.name
LOINC_PREFIX: Final = "LOINC:"
"""Codes arrive bare and with this prefix (settled §2.2)."""


class DefinitionsNeeded(NeededFirst):
    """Observations fit their table once the metrics that they name are defined."""

    def __init__(self, definitions: Mapping[str, MetricDefinition]) -> None:
        super().__init__(f"{len(definitions)} metrics are to be defined first")
        self.definitions = definitions

    async def provide(self, unit: UnitOfWork) -> None:
        """Define them; whoever defines one at the same time defines the same."""
        insert = postgres_insert if unit.driver.dialect == "postgresql" else sqlite_insert
        rows = [
            {name: value for name, value in asdict(definition).items() if name not in STAMPS}
            for _, definition in sorted(self.definitions.items())
        ]
        await unit.connection.execute(insert(metric_definitions).values(rows).on_conflict_do_nothing())


async def add_metrics(unit: UnitOfWork, facts: Facts, needs: Iterable[Need]) -> None:
    """Look up definitions, the organization's own and shared ones; what nobody defined is noted as to be made.

    A definition is not made where its id is taken: its row has been given another meaning since.
    """
    if unit.stops.lacks(ASKED[METRIC]):
        return
    by_value = {need.value: need for need in sorted(needs, key=lambda need: need.value)}
    new = {value: new_metric(unit.organization_id, need) for value, need in by_value.items()}
    codes = {value.rsplit("|", 2)[1] for value in by_value}
    columns = metric_definitions.c
    asked = or_(
        columns.code.in_(codes | {LOINC_PREFIX + code for code in codes}),
        columns.key.in_(codes),
        columns.id.in_({metric.id for metric in new.values() if metric is not None}),
    )
    conditions = (columns.organization_id.in_((unit.organization_id, SHARED)), asked)
    found = await fetch_rows(unit.connection, shape_of(TABLE), unit.organization_id, conditions)
    known = metrics_by_key(found)
    taken = {metric.id for metric in found if metric.organization_id == unit.organization_id}
    for value, metric in new.items():
        if value not in known and metric is not None and metric.id not in taken and overlong(TABLE, metric) is None:
            known[value] = metric
            facts.to_be_made[metric.id] = metric
    for value in by_value:
        if value in known:
            facts.metrics[value] = known[value]
            facts.keep(TABLE, known[value])
            facts.sought.add((TABLE, known[value].organization_id, known[value].id))


def unmade(facts: Facts, table: str, row: Row) -> dict[str, MetricDefinition]:
    """Return the definitions that a row refers to and that are still to be made, by id."""
    if not facts.to_be_made:
        return {}
    names = [column.name for column in shape_of(table).columns for key in column.foreign_keys if _is_metric(key)]
    keys = {getattr(row, name) for name in names}
    return {key: metric for key, metric in facts.to_be_made.items() if key in keys}


def _is_metric(key: ForeignKey) -> bool:
    return key.column is metric_definitions.c.id

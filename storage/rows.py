"""Rows of internal tables as dataclasses, loaded and saved by their field names.

A field named like a column is that column; a field named like another table holds that table's rows whose foreign key
points here, in order of id. Rows of OWNED tables are saved and deleted with their owner, the others are only shown
there. Every statement names the organization; row-level security is the second wall. Columns that the database does
not have as declared (storage/stops.py) are None in a row, and are left as they are when it is saved.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final

from sqlalchemy import (
    Column,
    ColumnElement,
    Index,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    any_,
    bindparam,
    insert,
    select,
    update,
)
from sqlalchemy import delete as delete_from
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection

from mappers import care_rows, hub_rows
from mappers import rows as mapped
from storage.repositories import care_entities, entities, hub_entities
from storage.stops import unusable_columns
from storage.tables import care_platform, health_hub, patient_graph, platform
from storage.tables.columns import SHARED, UNSAID_IS_SHARED
from storage.tables.types import later_than, now

Row = Any
"""A frozen dataclass of a module of rows in `mappers`, or of entities in `storage.repositories`."""

ROW_TYPES: Final[Mapping[Table, type]] = {
    platform.organizations: mapped.Organization,
    platform.users: entities.User,
    platform.user_organizations: entities.UserOrganization,
    platform.clients: entities.Client,
    patient_graph.customer_profiles: mapped.CustomerProfile,
    patient_graph.identity_mappings: mapped.IdentityMapping,
    patient_graph.lab_results: mapped.LabResult,
    patient_graph.protocols: mapped.Protocol,
    patient_graph.patient_events: entities.PatientEvent,
    patient_graph.conversation_history: entities.ConversationEntry,
    patient_graph.subscriptions: mapped.Subscription,
    patient_graph.patient_prescriptions: mapped.PatientPrescription,
    patient_graph.patient_wearable_readings: mapped.WearableReading,
    patient_graph.patient_wearable_daily_stats: mapped.WearableDailyStat,
    platform.social_accounts: care_entities.SocialAccount,
    care_platform.patients: care_rows.Patient,
    care_platform.clinicians: care_rows.CareClinician,
    care_platform.metric_definitions: care_rows.MetricDefinition,
    care_platform.assessment_templates: care_rows.AssessmentTemplate,
    care_platform.assessment_template_items: care_rows.AssessmentTemplateItem,
    care_platform.alert_rules: care_entities.AlertRule,
    care_platform.condition_presets: care_rows.ConditionPreset,
    care_platform.condition_preset_diagnoses: care_rows.ConditionPresetDiagnosis,
    care_platform.condition_preset_templates: care_rows.ConditionPresetTemplate,
    care_platform.condition_preset_alert_rules: care_entities.ConditionPresetAlertRule,
    care_platform.billing_programs: care_entities.BillingProgram,
    care_platform.cpt_codes: care_entities.CptCode,
    care_platform.care_programs: care_rows.CareProgram,
    care_platform.enrollments: care_rows.Enrollment,
    care_platform.observations: care_rows.CareObservation,
    care_platform.assessments: care_entities.Assessment,
    care_platform.patient_medications: care_rows.PatientMedication,
    care_platform.patient_conditions: care_rows.PatientCondition,
    care_platform.patient_consents: care_rows.PatientConsent,
    care_platform.time_logs: care_entities.TimeLog,
    care_platform.alerts: care_entities.Alert,
    health_hub.profiles: hub_rows.Profile,
    health_hub.profile_emr_connections: hub_rows.EmrConnection,
    health_hub.profile_fhir_resources_raw: hub_entities.RawRecord,
    health_hub.profile_fhir_resources_normalized: hub_entities.NormalizedRecord,
    health_hub.profile_fhir_resources_clean: hub_rows.CleanRecord,
    health_hub.profile_sync_jobs: hub_entities.SyncJob,
}

OWNED: Final = frozenset({"identity_mappings"})
"""Child tables whose rows are part of their owner."""

KEYS_AT_ONCE: Final = 1000
STAMPS: Final = ("created_at", "updated_at")
MADE_BY_DATABASE: Final = frozenset({*STAMPS, "corrected"})
"""Columns that a row may have otherwise than it was saved with."""
CUSTOMER: Final = "customer_id"
"""The column that says whose a row is."""
LONGEST_INDEXED: Final = 2500
"""Bytes of text that the columns of one index may have together; PostgreSQL takes 2,704 in all."""
SMALLEST_STEP: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Children:
    """A child table, which is also the name of the owner's field, and the columns that name the owner.

    `owner_organization` is the organization of the owner: the child's own, or of a catalogue row a shared one, too.
    """

    table: Table
    owner: Column[Any]
    owner_organization: Column[Any]

    @property
    def owned(self) -> bool:
        """Whether the rows are saved and deleted with their owner."""
        return self.table.name in OWNED


@dataclass(frozen=True, slots=True)
class Shape:
    """How a dataclass lies in its table."""

    table: Table
    row_type: type
    columns: tuple[Column[Any], ...]
    children: tuple[Children, ...]
    organization: Column[Any] | None
    """What confines a statement to one organization; None for tables outside tenancy."""

    @property
    def owned(self) -> tuple[Children, ...]:
        """The child tables whose rows are part of a row."""
        return tuple(children for children in self.children if children.owned)


@cache
def shape_of(table_name: str) -> Shape:
    """Return the shape of a table's rows; raises KeyError for a table without a dataclass."""
    table = next((each for each in ROW_TYPES if each.name == table_name), None)
    if table is None:
        raise KeyError(f"no dataclass stands for rows of {table_name}")
    names = [each.name for each in fields(ROW_TYPES[table])]
    children = tuple(_children(table.metadata.tables[name], table) for name in names if name not in table.c)
    columns = tuple(table.c[name] for name in names if name in table.c)
    return Shape(table, ROW_TYPES[table], columns, children, _organization_column(table))


def _children(child: Table, owner: Table) -> Children:
    key = next(key for key in child.foreign_key_constraints if key.referred_table is owner)
    organization, name = (element.parent for element in key.elements)
    return Children(child, name, organization)


def _organization_column(table: Table) -> Column[Any] | None:
    if table is platform.organizations:
        return table.c.id
    return None if table in platform.PLATFORM_TABLES else table.c.organization_id


def confined(shape: Shape, organization_id: str) -> tuple[ColumnElement[bool], ...]:
    """Return the condition that confines a statement to the organization; none for tables outside tenancy."""
    return () if shape.organization is None else (shape.organization == organization_id,)


def _is_keyed(connection: AsyncConnection, shape: Shape) -> bool:
    """Whether the database has the columns by which rows of a table are known; no mapper of it runs without."""
    return unusable_columns(connection, shape.table.name).isdisjoint(("id", "organization_id"))


async def load_rows(
    connection: AsyncConnection,
    table_name: str,
    organization_id: str,
    keys: Iterable[str],
    *,
    lock: bool = False,
    reader: str | None = None,
) -> dict[str, Row]:
    """Return the rows of the organization with these ids, by id, with their child rows; absent ones are left out.

    `lock` keeps other writers off the rows themselves. `reader` is the organization that reads shared rows (those of
    SHARED): it sees what it added to them, too.
    """
    shape = shape_of(table_name)
    if not _is_keyed(connection, shape):
        return {}
    reader = reader or organization_id
    wanted = sorted(set(keys))
    order = (shape.table.c.id,) if lock else ()
    found: dict[str, Row] = {}
    for start in range(0, len(wanted), KEYS_AT_ONCE):
        chunk = wanted[start : start + KEYS_AT_ONCE]
        conditions = (*confined(shape, organization_id), among_keys(connection, shape.table.c.id, chunk))
        for row in await fetch_rows(connection, shape, reader, conditions, order=order, lock=lock):
            found[row.id] = row
    return found


def among_keys(connection: AsyncConnection, column: Column[str], keys: Sequence[str]) -> ColumnElement[bool]:
    """Return the condition that a column is one of many keys: on PostgreSQL one parameter, and one statement for all.

    A statement of a thousand parameters would be taken apart anew for each number of them.
    """
    if connection.dialect.name != "postgresql":
        return column.in_(keys)
    return column == any_(bindparam(None, list(keys), type_=ARRAY(Text)))


async def fetch_rows(
    connection: AsyncConnection,
    shape: Shape,
    organization_id: str,
    conditions: Sequence[ColumnElement[bool]],
    *,
    order: Sequence[ColumnElement[Any]] = (),
    limit: int | None = None,
    offset: int = 0,
    lock: bool = False,
) -> list[Row]:
    """Return rows that meet the conditions, with their child rows; `lock` keeps other writers off them.

    `organization_id` is whose child rows are seen: a row that all share has shared ones beside these.
    """
    unusable = unusable_columns(connection, shape.table.name)
    columns = [column for column in shape.columns if column.name not in unusable] if unusable else shape.columns
    unknown = {column.name: None for column in shape.columns if column.name in unusable}
    statement = select(*columns).where(*conditions).order_by(*order)
    if limit is not None:
        statement = statement.limit(limit)
    if offset:
        statement = statement.offset(offset)
    if lock:
        statement = statement.with_for_update()
    found = [shape.row_type(**row._mapping, **unknown) for row in await connection.execute(statement)]  # noqa: SLF001 SQLAlchemy's public name
    for children in shape.children if found else ():
        found = await _with_children(connection, found, children, organization_id)
    return found


async def _with_children(
    connection: AsyncConnection, rows: list[Row], children: Children, organization_id: str
) -> list[Row]:
    shape = shape_of(children.table.name)
    named_by = {children.owner.name, children.owner_organization.name}
    if not (_is_keyed(connection, shape) and named_by.isdisjoint(unusable_columns(connection, shape.table.name))):
        return rows  # whose they are is not known; mappers that show them are stopped
    conditions: list[ColumnElement[bool]] = [children.owner.in_([row.id for row in rows])]
    if children.table in care_platform.CATALOGUE_TABLES:
        homes = {row.organization_id for row in rows}
        conditions.append(shape.table.c.organization_id.in_(homes | {organization_id}))
        conditions.append(children.owner_organization.in_(homes))
    else:
        conditions.extend(confined(shape, organization_id))
    found: dict[tuple[str, str], list[Row]] = {}
    for each in await fetch_rows(connection, shape, organization_id, conditions, order=(shape.table.c.id,)):
        owner = (getattr(each, children.owner_organization.name), getattr(each, children.owner.name))
        found.setdefault(owner, []).append(each)
    name = children.table.name
    return [replace(row, **{name: tuple(found.get((row.organization_id, row.id), ()))}) for row in rows]


async def all_keys(connection: AsyncConnection, table_name: str, organization_id: str) -> list[str]:
    """Return the ids of all rows of the organization, in order."""
    shape = shape_of(table_name)
    if not _is_keyed(connection, shape):
        return []
    statement = select(shape.table.c.id).where(*confined(shape, organization_id)).order_by(shape.table.c.id)
    return list(await connection.scalars(statement))


async def save_row(connection: AsyncConnection, table_name: str, row: Row, *, new: bool) -> None:
    """Insert a row, or update the one with its id; owned child rows are inserted or updated, never deleted.

    `updated_at` is stamped with the database's clock, always later than before; `created_at` of a new row is the
    database's clock unless the row brings one, and never changes. Raises KeyError when there is no row to update.
    """
    shape = shape_of(table_name)
    unusable = unusable_columns(connection, table_name)
    values = {name: value for name, value in _values(shape, row).items() if name not in unusable}
    if new:
        await connection.execute(insert(shape.table).values(_stamped(shape, values)))
    else:
        await _update(connection, shape, row, values)
    for children in shape.owned:
        await _save_children(connection, children.table.name, getattr(row, children.table.name))


async def _save_children(connection: AsyncConnection, table_name: str, rows: Sequence[Row]) -> None:
    if not rows:
        return
    existing = await load_rows(connection, table_name, rows[0].organization_id, [row.id for row in rows])
    for row in rows:
        if row != existing.get(row.id):
            await save_row(connection, table_name, row, new=row.id not in existing)


def _values(shape: Shape, row: Row) -> dict[str, Any]:
    return {column.name: _value(column, row) for column in shape.columns}


def _value(column: Column[Any], row: Row) -> Any:
    """Return the value of a column; a reference to the catalogue that does not say whose row it means, says it."""
    value = getattr(row, column.name)
    if value is None and UNSAID_IS_SHARED in column.info:
        return SHARED if column.info[UNSAID_IS_SHARED] else row.organization_id
    return value


def _stamped(shape: Shape, values: Mapping[str, Any]) -> dict[str, Any]:
    """Leave to the column's default what a new row does not know: its stamps, and NOT NULL columns that have one."""
    return {
        name: value
        for name, value in values.items()
        if value is not None or not (name in STAMPS or _has_default(shape.table.c[name]))
    }


def _has_default(column: Column[Any]) -> bool:
    return not column.nullable and column.server_default is not None


async def _update(connection: AsyncConnection, shape: Shape, row: Row, values: Mapping[str, Any]) -> None:
    changes = {name: value for name, value in values.items() if name not in ("id", "organization_id", *STAMPS)}
    if "updated_at" in shape.table.c and "updated_at" not in unusable_columns(connection, shape.table.name):
        changes["updated_at"] = next_stamp(getattr(row, "updated_at", None))
    statement = update(shape.table).where(*_key_of(shape, row)).values(changes)
    if (await connection.execute(statement)).rowcount != 1:
        raise KeyError(f"{shape.table.name} has no row with this id")


def next_stamp(previous: datetime | None) -> ColumnElement[datetime]:
    """Return the database's clock, or the smallest step after `previous` when the clock has not moved on."""
    return now() if previous is None else later_than(bindparam(None, previous + SMALLEST_STEP, now().type))


def _key_of(shape: Shape, row: Row) -> tuple[ColumnElement[bool], ...]:
    organization = row.id if shape.table is platform.organizations else getattr(row, "organization_id", "")
    return (*confined(shape, organization), shape.table.c.id == row.id)


async def delete_row(connection: AsyncConnection, table_name: str, row: Row) -> None:
    """Delete a row and its owned child rows; raises KeyError when it is not there."""
    shape = shape_of(table_name)
    for children in shape.owned:
        own = confined(shape_of(children.table.name), row.organization_id)
        await connection.execute(delete_from(children.table).where(*own, children.owner == row.id))
    if (await connection.execute(delete_from(shape.table).where(*_key_of(shape, row)))).rowcount != 1:
        raise KeyError(f"{table_name} has no row with this id")


async def taken_unique(connection: AsyncConnection, table_name: str, row: Row) -> str | None:
    """Return the column whose value another row already has though it must be unique, None when there is none.

    Of a child row's value it is the name of the child table.
    """
    shape = shape_of(table_name)
    taken = await _taken_here(connection, shape, row)
    if taken is not None:
        return taken
    for children in shape.owned:
        name = children.table.name
        for each in getattr(row, name):
            if await _taken_here(connection, shape_of(name), each) is not None:
                return name
    return None


async def _taken_here(connection: AsyncConnection, shape: Shape, row: Row) -> str | None:
    for columns in _unique_columns(shape):
        values = [getattr(row, column.name) for column in columns]
        if None in values:
            continue
        same = [column == value for column, value in zip(columns, values, strict=True)]
        statement = select(shape.table.c.id).where(*same, shape.table.c.id != row.id)
        if await connection.scalar(statement.limit(1)) is not None:
            return columns[-1].name
    return None


def overlong(table_name: str, row: Row) -> str | None:
    """Return a column whose text is longer than an index over it takes, None when there is none.

    Of a child row's text it is the name of the child table. PostgreSQL refuses such a row; both engines keep none.
    """
    shape = shape_of(table_name)
    for columns in _indexed_texts(shape):
        sizes = {name: len(str(getattr(row, name)).encode()) for name in columns}
        if sum(sizes.values()) > LONGEST_INDEXED:
            return max(sizes, key=lambda name: sizes[name])
    owned = (children.table.name for children in shape.owned)
    return next((name for name in owned if any(overlong(name, each) for each in getattr(row, name))), None)


@cache
def _indexed_texts(shape: Shape) -> list[list[str]]:
    """Return the columns of text of every key and index of rows of this shape."""
    keys = [each for each in shape.table.constraints if isinstance(each, PrimaryKeyConstraint | UniqueConstraint)]
    texts = {column.name for column in shape.columns if isinstance(column.type, String)}
    return [
        [column.name for column in each.columns if column.name in texts]
        for each in sorted([*shape.table.indexes, *keys], key=lambda each: str(each.name))
    ]


@cache
def shared_columns(table_name: str) -> tuple[str, ...]:
    """Return the columns whose values no two customers of an organization may have in common.

    Whether such a value is in use tells something about other customers.
    """
    shared = (columns for columns in _unique_columns(shape_of(table_name)) if CUSTOMER not in {c.name for c in columns})
    return tuple(sorted({column.name for columns in shared for column in columns} - {"organization_id"}))


def _unique_columns(shape: Shape) -> list[list[Column[Any]]]:
    """Return the columns of everything unique that rows of this shape fill; the organization leads in tenant tables."""
    known = set(shape.columns)
    unique: list[Index | UniqueConstraint] = [index for index in shape.table.indexes if index.unique]
    unique += [each for each in shape.table.constraints if isinstance(each, UniqueConstraint)]
    return [
        list(each.columns)
        for each in sorted(unique, key=lambda each: str(each.name))
        if all(column in known for column in each.columns)
    ]

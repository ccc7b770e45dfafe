"""Writing of versions: finished bytes, superseded versions and index rows, in batches (security DU-2, DU-3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from typing import Any

from sqlalchemy import Table, bindparam, delete, select, update

from storage.codec import finished, is_same_content
from storage.driver import Driver, Question, Row
from storage.projection.index_values import IndexValues, index_values
from storage.resources import Creation, Home, ResourceKey, Stored, Version, Written
from storage.search.values import OPEN_HIGH, OPEN_LOW
from storage.sql import Prepared, among, one_or_many, prepare
from storage.tables import fhir
from storage.transaction import UnitOfWork


@dataclass(frozen=True, slots=True)
class Pending:
    """A version to be written; `resource` None is a deletion. `stored` is what it supersedes.

    `keep` False is the telemetry class: the superseded version is not kept (settled §3.2). A deletion with a home is a
    reading that is shown by day only now: its row and its residual stay, should it be shown again.
    """

    key: ResourceKey
    resource: Mapping[str, Any] | None
    stored: Stored | None
    home: Home | None = None
    residual: bytes | None = None
    keep: bool = True
    values: IndexValues | None = None
    by_put: bool = False
    """Whether its id is the client's choice, should it be new."""


STORED_COLUMNS = (
    fhir.resources.c.resource_type,
    fhir.resources.c.id,
    fhir.resources.c.rid,
    fhir.resources.c.version,
    fhir.resources.c.last_updated,
    fhir.resources.c.deleted,
    fhir.resources.c.patient,
    fhir.resources.c.date_low,
    fhir.resources.c.home_table,
    fhir.resources.c.home_key,
    fhir.resources.c.home_part,
    fhir.resources.c.residual,
    fhir.resources.c.body,
)


def stored_of(row: Row) -> Stored:
    """Return the Stored of a row of STORED_COLUMNS."""
    resource_type, resource_id, rid, version, last_updated, deleted, patient, date, table, key, part, *rest = row
    home = Home(table, key, part or "") if table else None
    own = ResourceKey(resource_type, resource_id)
    return Stored(own, rid, version, last_updated, bool(deleted), patient, date, home, *rest)


@lru_cache
def _current_statement(dialect: str, *, deletes: bool, one: bool) -> Prepared:
    """Lock rows as strongly as needed: others may hold on to a target that is updated, but not to one being deleted."""
    statement = (
        select(*STORED_COLUMNS)
        .where(
            fhir.resources.c.organization_id == bindparam("organization_id"),
            among(fhir.resources.c.self_key, "keys", one=one),
        )
        .order_by(fhir.resources.c.self_key)
        .with_for_update(key_share=not deletes)
    )
    return prepare(statement, dialect)


def current_question(
    organization_id: str, dialect: str, keys: Iterable[ResourceKey], *, deletes: bool = False
) -> Question:
    """Return what `load_current` asks."""
    hashes = sorted({key.hash for key in keys})
    statement = _current_statement(dialect, deletes=deletes, one=len(hashes) == 1)
    return Question(statement, {"organization_id": organization_id, "keys": one_or_many(hashes)})


async def load_current(
    unit: UnitOfWork, keys: Iterable[ResourceKey], *, deletes: bool = False
) -> dict[ResourceKey, Stored]:
    """Return what is stored under the keys, locked until the end of the unit of work; deletions included.

    `deletes` tells that some of them may be deleted: whoever refers to one of them then waits, too.
    """
    wanted = {key.hash: key for key in keys}
    if not wanted:
        return {}
    question = current_question(unit.organization_id, unit.driver.dialect, wanted.values(), deletes=deletes)
    rows = await unit.driver.fetch(question.statement, question.parameters)
    found = {stored.key: stored for stored in map(stored_of, rows)}
    return {key: found[key] for key in wanted.values() if key in found}


async def write_versions(unit: UnitOfWork, pendings: Sequence[Pending]) -> list[Written]:
    """Write versions for what differs from what is stored; the answers are in the order of `pendings`.

    Each key may occur once. Raises ConcurrencyConflict when a new resource met one that another writer just made.
    """
    batch = _Batch(unit)
    results: list[Written] = []
    for pending in pendings:
        if is_unchanged(pending):
            results.append(_unchanged(pending))
            batch.relabel(pending)
        else:
            results.append(batch.add(pending, unit, await unit.change_id()))
    await batch.store(unit.driver)
    return results


async def replace_in_place(
    unit: UnitOfWork, stored: Stored, resource: Mapping[str, Any], residual: bytes | None
) -> Version:
    """Give the current version, which the unit of work has locked, another body: one that differs in labels only.

    Number and instant of the version stay.
    """
    body = finished(resource, stored.key.id, stored.version, stored.last_updated)
    values = index_values(resource, unit.base_url)
    batch = _Batch(unit)
    batch.reindex(stored, values)
    replaced = {
        "at_organization_id": unit.organization_id,
        "at_self_key": stored.key.hash,
        "present": values.present,
        "residual": residual,
        "body": body,
    }
    await unit.driver.execute_many(_replace_statement(unit.driver.dialect), [replaced])
    await batch.store(unit.driver)
    return Version(stored.key, stored.version, stored.last_updated, deleted=False, body=body)


def is_unchanged(pending: Pending) -> bool:
    """Whether writing it would make no new version."""
    stored = pending.stored
    if stored is None or stored.deleted:
        return pending.resource is None
    return pending.resource is not None and is_same_content(pending.resource, stored.resource())


def _unchanged(pending: Pending) -> Written:
    stored = pending.stored
    if stored is None or stored.deleted:
        return Written(None, created=False, changed=False)
    version = Version(stored.key, stored.version, stored.last_updated, deleted=False, body=stored.body)
    return Written(version, created=False, changed=False)


_SELF_KEY = itemgetter([column.name for column in fhir.resources.columns].index("self_key"))


class _Batch:
    """Rows gathered for one round of statements."""

    def __init__(self, unit: UnitOfWork) -> None:
        self.organization_id = unit.organization_id
        self.xid = unit.xid
        self.base_url = unit.base_url
        self.created: list[Row] = []
        self.replaced: list[Row] = []
        self.superseded: list[int] = []
        self.relabelled: list[dict[str, Any]] = []
        self.added: dict[Table, list[Row]] = {table: [] for table in ROWS_PER_RESOURCE}
        self.removed: dict[Table, list[Row]] = {table: [] for table in ROWS_PER_RESOURCE}

    def add(self, pending: Pending, unit: UnitOfWork, change_id: int) -> Written:
        """Take in a version that differs from what is stored."""
        stored, resource = pending.stored, pending.resource
        rid = stored.rid if stored else unit.ids.surrogate()
        number = stored.version + 1 if stored else 1
        now = max(unit.now, stored.last_updated) if stored else unit.now
        body = b"" if resource is None else finished(resource, pending.key.id, number, now)
        values = None if resource is None else pending.values or index_values(resource, self.base_url)
        creation = _creation(pending)
        row = (
            self.organization_id,
            pending.key.resource_type,
            pending.key.id,
            rid,
            pending.key.hash,
            number,
            now,
            resource is None,
            *_derived(values, stored),
            *_place(pending.home),
            pending.residual,
            change_id,
            self.xid,
            body,
            creation,
        )
        if stored is None:
            self.created.append(row)
        else:
            self.replaced.append(row)
            if pending.keep:
                self.superseded.append(pending.key.hash)
        self._index(rid, values, stored)
        superseded = stored.body if stored else b""
        version = Version(pending.key, number, now, resource is None, body, superseded=superseded)
        return Written(version, created=creation is not Creation.NONE, changed=True)

    def relabel(self, pending: Pending) -> None:
        """Note a new residual or home of a resource whose content stayed the same."""
        stored = pending.stored
        if stored is None:
            return
        if (stored.home, stored.residual) != (pending.home, pending.residual):
            table, key, part = _place(pending.home)
            self.relabelled.append(
                {
                    "at_organization_id": self.organization_id,
                    "at_self_key": stored.key.hash,
                    "home_table": table,
                    "home_key": key,
                    "home_part": part,
                    "residual": pending.residual,
                }
            )

    def _index(self, rid: int, values: IndexValues | None, stored: Stored | None) -> None:
        """Note the index rows to add and to remove; rows that both versions have are left alone."""
        new = index_rows(self.organization_id, rid, values, *index_place(values)) if values else {}
        if stored is None or stored.deleted:
            for table, rows in new.items():
                self.added[table].extend(rows)
            return
        before = index_values(stored.resource(), self.base_url)
        # What its row says of patient and date is what its index rows say, whatever the rules give for it today.
        self._differ(index_rows(self.organization_id, rid, before, stored.patient, stored.date_low), new)

    def reindex(self, stored: Stored, values: IndexValues) -> None:
        """Note the difference of index rows for another body of the same version, about the same patient and date."""
        place = stored.patient, stored.date_low
        before = index_values(stored.resource(), self.base_url)
        new = index_rows(self.organization_id, stored.rid, values, *place)
        self._differ(index_rows(self.organization_id, stored.rid, before, *place), new)

    def _differ(self, old: Mapping[Table, list[Row]], new: Mapping[Table, list[Row]]) -> None:
        for table in ROWS_PER_RESOURCE:
            former, present = set(old.get(table, ())), set(new.get(table, ()))
            self.added[table].extend(present - former)
            self.removed[table].extend(former - present)

    async def store(self, driver: Driver) -> None:
        """Send the statements; superseded versions are copied before they are replaced."""
        if self.superseded:
            parameters = {"organization_id": self.organization_id, "keys": one_or_many(self.superseded)}
            await driver.execute(_supersede_statement(driver.dialect, one=len(self.superseded) == 1), parameters)
        # In the order in which rows are locked: of two who create the same resources only one waits for the other.
        await driver.insert(fhir.resources, sorted(self.created, key=_SELF_KEY))
        await driver.insert(fhir.resources, self.replaced, replace=True)
        await driver.execute_many(_relabel_statement(driver.dialect), self.relabelled)
        for table in ROWS_PER_RESOURCE:
            columns = [f"at_{column.name}" for column in table.columns]
            gone = [dict(zip(columns, row, strict=True)) for row in self.removed[table]]
            await driver.execute_many(remove_statement(table, driver.dialect), gone)
            await driver.insert(table, self.added[table])


def _creation(pending: Pending) -> Creation:
    if pending.resource is None or (pending.stored is not None and not pending.stored.deleted):
        return Creation.NONE
    return Creation.PUT if pending.stored is not None or pending.by_put else Creation.POST


def _derived(values: IndexValues | None, stored: Stored | None) -> tuple[int, int, int, int]:
    """Return patient, date_low, date_high, present; a deletion keeps the patient, for access and 410 (settled §3.1)."""
    if values is None:
        return stored.patient if stored else 0, OPEN_LOW, OPEN_HIGH, 0
    return values.patient, values.date_low, values.date_high, values.present


def _place(home: Home | None) -> tuple[str | None, str | None, str | None]:
    return (home.table, home.key, home.part) if home else (None, None, None)


ROWS_PER_RESOURCE = (fhir.compartments, *fhir.INDEX_TABLES)
"""Tables that hold rows derived from a resource's current version."""


def index_place(values: IndexValues) -> tuple[int, int]:
    """Return patient and clinical date as the resource's row has them, and its token rows beside it."""
    return values.patient, values.date_low


def index_rows(organization_id: str, rid: int, values: IndexValues, patient: int, date: int) -> dict[Table, list[Row]]:
    """Return the rows of ROWS_PER_RESOURCE for one resource, in the order of the tables' columns."""
    own = organization_id
    shared = () if patient else values.patients
    return {
        fhir.compartments: [(own, each, rid) for each in shared],
        fhir.index_tokens: [(own, each.key, patient, date, rid, each.system) for each in values.tokens],
        fhir.index_strings: [(own, each.key, each.value, rid, each.exact) for each in values.strings],
        fhir.index_dates: [(own, each.key, each.low, each.high, rid) for each in values.dates],
        fhir.index_quantities: [
            (own, each.key, each.low, each.high, rid, each.qualifier) for each in values.quantities
        ],
        fhir.index_references: [(own, each.target, each.key, rid) for each in values.references],
    }


@lru_cache
def _supersede_statement(dialect: str, *, one: bool) -> Prepared:
    columns = [fhir.resources.c[column.name] for column in fhir.history.columns]
    current = select(*columns).where(
        fhir.resources.c.organization_id == bindparam("organization_id"),
        among(fhir.resources.c.self_key, "keys", one=one),
    )
    return prepare(fhir.history.insert().from_select([column.name for column in columns], current), dialect)


@lru_cache
def _relabel_statement(dialect: str) -> Prepared:
    return _change_statement(dialect, ("home_table", "home_key", "home_part", "residual"))


@lru_cache
def _replace_statement(dialect: str) -> Prepared:
    return _change_statement(dialect, ("present", "residual", "body"))


def _change_statement(dialect: str, values: Sequence[str]) -> Prepared:
    """Return the statement that sets columns of a resource's row, whose key is named at_<column>."""
    keys = ("organization_id", "self_key")
    statement = (
        update(fhir.resources)
        .where(*(fhir.resources.c[name] == bindparam(f"at_{name}") for name in keys))
        .values({name: bindparam(name, type_=fhir.resources.c[name].type) for name in values})
    )
    return prepare(statement, dialect)


@lru_cache
def remove_statement(table: Table, dialect: str) -> Prepared:
    """Return the statement that deletes one row of `table` by all its columns, named at_<column>."""
    return prepare(
        delete(table).where(*(column == bindparam(f"at_{column.name}") for column in table.columns)), dialect
    )

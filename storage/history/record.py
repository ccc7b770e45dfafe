"""A patient's whole record as it was at an instant: our own `Patient/[id]/$everything?_at=` (decision 17).

Of each resource the version that was current then: what was deleted by then, or not yet made, is not there. A resource
belongs to the record if it did so then and does so now, or did when it was deleted: a record that was put right since
then is not shown in the wrong place again, and nobody sees what they do not see today.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import ColumnElement, FromClause, Select, and_, exists, literal_column, or_, select, tuple_, union_all

from storage.codec import decode
from storage.driver import Row
from storage.errors import ResourceGone, ResourceNotFound
from storage.history.instance import HistoryQuery, history_page
from storage.projection.index_values import IndexValues, index_values
from storage.resources import ResourceKey, Version
from storage.search.everything import (
    BEFORE_ALL,
    PLACE,
    RECORD_COLUMNS,
    Everything,
    RecordShape,
    compartment_ways,
    dated,
    of_kinds,
    plan_record,
    record_parameters,
    shared_rids,
)
from storage.search.keys import self_key
from storage.search.lower import reach_of
from storage.search.own import ORGANIZATION
from storage.search.predicates.parameters import parameter_like
from storage.search.records import RecordReader
from storage.search.shape import Binder
from storage.search.values import OPEN_HIGH, OPEN_LOW
from storage.sql import Prepared, member_of, prepare
from storage.tables import fhir
from storage.visibility import access_parameters, includes

_AT_ONCE: Final = 500
_OF_VERSION: Final = frozenset({"version", "last_updated", "body"})
_BODY: Final = RECORD_COLUMNS.index("body")
_SUPERSEDED: Final = len(RECORD_COLUMNS)


@dataclass(frozen=True, slots=True)
class PastRecordReader(RecordReader):
    """Reads records as they were at `Everything.at`, for one caller."""

    async def patient(self, asked: Everything) -> list[Version]:
        """Return the Patient as it was then; raises ResourceNotFound and ResourceGone for what it was then, too."""
        version = await self._patient_then(asked)
        wanted = asked.wants("Patient") and (asked.since is None or version.last_updated >= asked.since)
        return [version] if wanted else []

    async def rows(self, asked: Everything, place: Sequence[Any], *, directory: bool, limit: int) -> list[Row]:
        """Return rows of one part of the record after a place, each as it was then."""
        part = _Part.DIRECTORY if directory else _Part.COMPARTMENT
        targets = await self._past_targets(asked) if directory else []
        found: list[Row] = []
        async for row in self._walk(asked, place, part, limit, targets):
            found.append(row[:-1])
            if len(found) == limit:
                break
        return found

    async def _patient_then(self, asked: Everything) -> Version:
        key = ResourceKey("Patient", asked.patient)
        page = await history_page(self.reader, key, HistoryQuery(1, at=_instant(asked)), self.access)
        if not page.versions:
            raise ResourceNotFound(key.resource_type, key.id)
        (version,) = page.versions
        if version.deleted:
            raise ResourceGone(key.resource_type, key.id, version.version, version.last_updated)
        return version

    async def _walk(
        self, asked: Everything, place: Sequence[Any], part: _Part, limit: int, targets: Sequence[int] = ()
    ) -> AsyncIterator[Row]:
        """Yield rows of RECORD_COLUMNS and whether they are superseded, in order; none that was somebody else's."""
        while True:
            binder = Binder()
            directory = part is _Part.DIRECTORY
            shape = plan_record(asked, self.access, binder, directory=directory, limit=limit)
            if shape is None:
                return
            parameters = {
                **access_parameters(self.access),
                **binder.values,
                **record_parameters(asked, self_key("Patient", asked.patient), place),
                "at": _instant(asked)[1],
                "targets": list(targets),
            }
            rows = await self.fetch(_compile(shape, part, self.reader.dialect), parameters)
            for row in rows:
                if not row[_SUPERSEDED] or self._was_part(asked, row, part):
                    yield row
            if len(rows) < limit:
                return
            place = [rows[-1][RECORD_COLUMNS.index(name)] for name in PLACE]

    def _was_part(self, asked: Everything, row: Row, part: _Part) -> bool:
        """Say whether a superseded version belonged there, in sight of the caller and within the care dates."""
        values = self._values(row)
        if not includes(reach_of(self.access, row[0]), values, self.access):
            return False
        if part is _Part.DIRECTORY:
            return not values.patients
        if self_key("Patient", asked.patient) not in values.patients:
            return False
        low, high = asked.period or (OPEN_LOW, OPEN_HIGH)
        return values.date_low < high and values.date_high > low

    def _values(self, row: Row) -> IndexValues:
        return index_values(decode(bytes(row[_BODY])), self.reader.base_url)

    async def _past_targets(self, asked: Everything) -> list[int]:
        """Return what superseded versions of the record referred to; of the current ones the index knows."""
        patient = index_values(decode((await self._patient_then(asked)).body), self.reader.base_url)
        targets = {each.target for each in patient.references}
        whole = Everything(asked.patient, _AT_ONCE, at=asked.at)
        async for row in self._walk(whole, BEFORE_ALL, _Part.SUPERSEDED, _AT_ONCE):
            targets.update(each.target for each in self._values(row).references)
        return sorted(targets)


class _Part(Enum):
    """What a statement reads: the compartment, only what of it has changed since then, or the directory."""

    COMPARTMENT = auto()
    SUPERSEDED = auto()
    DIRECTORY = auto()


def _instant(asked: Everything) -> tuple[int, int]:
    """Return the last millisecond that counts, as a half-open range."""
    if asked.at is None:
        raise TypeError("a record of the past has an instant")
    return asked.at - 1, asked.at


@lru_cache(maxsize=64)
def _compile(shape: RecordShape, part: _Part, dialect: str) -> Prepared:
    """Return the statement of one part of the record: RECORD_COLUMNS and `superseded`, in order of PLACE."""
    queries: list[Select[Any]] = []
    for number in range(1 if part is _Part.DIRECTORY else len(compartment_ways(fhir.resources))):
        if part is not _Part.SUPERSEDED:
            queries.append(_unchanged(shape, part, number))
        queries.append(_changed(shape, part, number))
    found = union_all(*(select(query.subquery()) for query in queries)).subquery()
    order = [found.c[name] for name in PLACE]
    return prepare(select(found).order_by(*order).limit(literal_column(str(int(shape.limit)))), dialect)


def _way(shape: RecordShape, part: _Part, now: FromClause, number: int) -> ColumnElement[bool]:
    if part is _Part.DIRECTORY:
        return and_(_referred(shape, now), now.c.patient == 0, now.c.rid.not_in(shared_rids()))
    return compartment_ways(now)[number]


def _before(rows: FromClause) -> ColumnElement[bool]:
    return rows.c.last_updated < parameter_like(fhir.resources.c.last_updated, "at")


def _unchanged(shape: RecordShape, part: _Part, number: int) -> Select[Any]:
    """Return the resources whose current version was current then."""
    now = fhir.resources.alias()
    conditions = [_before(now), now.c.deleted.is_(False), *_general(shape, now, now), _way(shape, part, now, number)]
    if part is _Part.COMPARTMENT:
        conditions.append(dated(now))
    columns = [now.c[name] for name in RECORD_COLUMNS]
    return _ordered(select(*columns, literal_column("0").label("superseded")).where(*conditions), now, shape)


def _changed(shape: RecordShape, part: _Part, number: int) -> Select[Any]:
    """Return the superseded versions that were current then, at the places of their resources."""
    now, old = fhir.resources.alias(), fhir.history.alias()
    same = (old.c.organization_id == ORGANIZATION, *(old.c[name] == now.c[name] for name in ("resource_type", "id")))
    conditions = [
        ~_before(now),
        _before(old),
        old.c.deleted.is_(False),
        ~_replaced(old),
        *_general(shape, now, old),
        _way(shape, part, now, number),
    ]
    columns = [(old if name in _OF_VERSION else now).c[name] for name in RECORD_COLUMNS]
    query = select(*columns, literal_column("1").label("superseded")).select_from(now.join(old, and_(*same)))
    return _ordered(query.where(*conditions), now, shape)


def _replaced(old: FromClause) -> ColumnElement[bool]:
    later = fhir.history.alias()
    same = (later.c[name] == old.c[name] for name in ("resource_type", "id"))
    newer = (later.c.organization_id == ORGANIZATION, *same, later.c.version > old.c.version, _before(later))
    return exists(select(literal_column("1")).where(*newer))


def _general(shape: RecordShape, now: FromClause, version: FromClause) -> list[ColumnElement[bool]]:
    start = tuple_(*(parameter_like(now.c[name], f"after_{name}") for name in PLACE))
    return [
        now.c.organization_id == ORGANIZATION,
        of_kinds(shape.kinds, now),
        version.c.last_updated >= parameter_like(fhir.resources.c.last_updated, "since"),
        tuple_(*(now.c[name] for name in PLACE)) > start,
    ]


def _ordered(query: Select[Any], now: FromClause, shape: RecordShape) -> Select[Any]:
    return query.order_by(*(now.c[name] for name in PLACE)).limit(literal_column(str(int(shape.limit))))


def _referred(shape: RecordShape, rows: FromClause) -> ColumnElement[bool]:
    """Return the condition that the record of that time refers to the row: by its index rows, or by `targets`."""
    references, source = fhir.index_references.alias(), fhir.resources.alias()
    members = [
        select(source.c.rid).where(
            source.c.organization_id == ORGANIZATION,
            source.c.deleted.is_(False),
            _before(source),
            way,
            of_kinds(shape.record, source),
        )
        for way in compartment_ways(source)
    ]
    targets = select(references.c.target).where(
        references.c.organization_id == ORGANIZATION, references.c.rid.in_(union_all(*members))
    )
    return or_(rows.c.self_key.in_(targets), member_of(rows.c.self_key, "targets"))

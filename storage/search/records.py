"""Reading of a patient's whole record, page by page (FHIR R4 operation-patient-everything.html)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import select

from storage.access import Access, Reach, Right
from storage.driver import Row
from storage.errors import ResourceGone, ResourceNotFound
from storage.reading import Reader
from storage.resources import ResourceKey, Version
from storage.search.cursor import CursorSealer
from storage.search.everything import (
    BEFORE_ALL,
    PLACE,
    RECORD_COLUMNS,
    Everything,
    compile_record,
    plan_record,
    record_parameters,
)
from storage.search.keys import self_key
from storage.search.own import ORGANIZATION
from storage.search.page import Page
from storage.search.predicates.parameters import parameter_like
from storage.search.shape import Binder
from storage.sql import Prepared, prepare
from storage.tables import fhir
from storage.visibility import access_parameters, visible

_PLACE_AT: Final = tuple(RECORD_COLUMNS.index(name) for name in PLACE)


@dataclass(frozen=True, slots=True)
class RecordReader:
    """Reads records for one caller at one time, `now` in milliseconds since 1970 UTC."""

    reader: Reader
    sealer: CursorSealer
    access: Access
    now: int

    async def page(self, asked: Everything) -> Page:
        """Return one page: the Patient first, then its compartment, then what these refer to in the directory.

        Raises InteractionForbidden, ResourceNotFound, ResourceGone, CursorInvalid and CursorExpired.
        """
        search = asked.as_search()
        patient = await self.patient(asked)
        if asked.cursor is None:
            found, in_directory, place = patient, False, list(BEFORE_ALL)
        else:
            found = []
            in_directory, *place = self.sealer.read(search, self.access, self.now)
        for directory in (True,) if in_directory else (False, True):
            room = asked.count - len(found)
            rows = await self.rows(asked, place, directory=directory, limit=room + 1)
            found.extend(_version(row) for row in rows[:room])
            if len(rows) > room:
                last = [rows[room - 1][at] for at in _PLACE_AT] if room else place
                cursor = self.sealer.make(search, self.access, [directory, *last], self.now)
                return Page(found, [], None, cursor, ())
            place = list(BEFORE_ALL)
        return Page(found, [], None, None, ())

    async def patient(self, asked: Everything) -> list[Version]:
        """Return the Patient, or nothing when other types or later versions are asked for."""
        reach = self.access.require("Patient", Right.READ)
        parameters = {"patient": self_key("Patient", asked.patient), **access_parameters(self.access)}
        statement = _patient_statement(self.reader.dialect, reach)
        rows = await self.fetch(statement, parameters)
        if not rows:
            raise ResourceNotFound("Patient", asked.patient)
        version, last_updated, deleted, body = rows[0]
        if deleted:
            raise ResourceGone("Patient", asked.patient, version, last_updated)
        wanted = asked.wants("Patient") and (asked.since is None or last_updated >= asked.since)
        key = ResourceKey("Patient", asked.patient)
        return [Version(key, version, last_updated, deleted=False, body=bytes(body))] if wanted else []

    async def rows(self, asked: Everything, place: Sequence[Any], *, directory: bool, limit: int) -> list[Row]:
        """Return rows of RECORD_COLUMNS of one part of the record after a place."""
        binder = Binder()
        shape = plan_record(asked, self.access, binder, directory=directory, limit=limit)
        if shape is None:
            return []
        parameters = {
            **access_parameters(self.access),
            **binder.values,
            **record_parameters(asked, self_key("Patient", asked.patient), place),
        }
        return await self.fetch(compile_record(shape, self.reader.dialect), parameters)

    async def fetch(self, statement: Prepared, parameters: dict[str, Any]) -> list[Row]:
        """Return the rows of a statement in the caller's organization."""
        organization = self.access.organization_id
        return await self.reader.fetch(organization, statement, {"organization_id": organization, **parameters})


@lru_cache
def _patient_statement(dialect: str, reach: Reach) -> Prepared:
    rows = fhir.resources
    columns = (rows.c.version, rows.c.last_updated, rows.c.deleted, rows.c.body)
    own = rows.c.self_key == parameter_like(rows.c.self_key, "patient")
    return prepare(select(*columns).where(rows.c.organization_id == ORGANIZATION, own, visible(rows, reach)), dialect)


def _version(row: Row) -> Version:
    named = dict(zip(RECORD_COLUMNS, row, strict=True))
    key = ResourceKey(named["resource_type"], named["id"])
    return Version(key, named["version"], named["last_updated"], deleted=False, body=bytes(named["body"]))

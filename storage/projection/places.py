"""Homes of written resources: an internal row where a mapper claims the resource, else the store (settled §1.3-1.5).

Home is chosen at create. A native resource moves into a row when a later update fits; a row never becomes native.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from mappers.care_rows import MetricDefinition
from mappers.device import DEVICE_TABLE
from mappers.lens import Absorbed, NotClaimed, ResourceMapper, Row
from mappers.lookups import REFERENCE, Need, PersonLink, Treatment
from mappers.lookups import Home as LookupHome
from mappers.registry import mapper_of, mappers_of_table, mappers_of_type
from storage.driver import Question
from storage.errors import MapperStopped, MappingRefused, ReadOnlyHome, ReferenceConflict
from storage.integrity import key_of
from storage.orders.applying import settle
from storage.persons.queue import note_matches
from storage.projection.declared import SHOWN_ONLY, edges_of, is_shown_with, shows_otherwise
from storage.projection.devices import devices_left
from storage.projection.facts import Facts, open_facts, organization_question
from storage.projection.flush import note_failures
from storage.projection.links import add_links, note_changed
from storage.projection.lookups import answer, homes_question, with_facts
from storage.projection.metrics import DefinitionsNeeded, unmade
from storage.projection.project import Projected, project_rows, residual_bytes
from storage.projection.rerender import note_shown
from storage.projection.shown import READING_FAILS, load_shown
from storage.projection.sources import owners_of, owners_of_row
from storage.projection.telemetry import note_due
from storage.repositories.saving import gone_with, keep_row, remove_row
from storage.resources import Home, ResourceKey
from storage.rows import MADE_BY_DATABASE, load_rows, overlong, shared_columns, taken_unique
from storage.stops import STOPPED
from storage.tables.types import is_same_value
from storage.transaction import UnitOfWork
from storage.versions import Pending

FIRST_TYPES: Final = ("Organization", "Practitioner", "Patient", "CarePlan", "DiagnosticReport")
"""Types that others' homes depend on, in the order of dependence."""
RowKey = tuple[str, str]


@dataclass(slots=True)
class Placed:
    """Writes with their homes, and what the rows they changed show elsewhere."""

    pendings: list[Pending]
    consequences: list[Pending] = field(default_factory=list)
    unclaimed: dict[ResourceKey, str] = field(default_factory=dict)
    """Why a resource that some mapper could have held is native."""


def writable_mappers(resource_type: str) -> tuple[ResourceMapper, ...]:
    """Return the mappers that may take a resource of the type as a new row."""
    return tuple(mapper for mapper in mappers_of_type(resource_type) if not mapper.read_only)


def _order(pending: Pending) -> tuple[bool, int, int]:
    """Deletions first, as in a transaction; of those the ones first that depend on others, of writes the others.

    Then in one order for all, so that rows are written without deadlocks.
    """
    kind, is_write = pending.key.resource_type, pending.resource is not None
    rank = FIRST_TYPES.index(kind) if kind in FIRST_TYPES else len(FIRST_TYPES)
    return is_write, rank if is_write else -rank, pending.key.hash


class Places:
    """Finds homes and keeps the rows there in step with what is written."""

    def ahead(
        self, organization_id: str, dialect: str, base_url: str, resources: Sequence[Mapping[str, Any]]
    ) -> list[Question]:
        """Return what `place` will ask about resources that have no home yet, for a unit of work to begin with."""
        concerned = [each for each in resources if writable_mappers(each["resourceType"])]
        if not concerned:
            return []
        keys = {
            key
            for each in concerned
            for mapper in mappers_of_type(each["resourceType"])
            for need in mapper.needs(each)
            if need.kind == REFERENCE and (key := key_of(need.value, base_url)) is not None
        }
        questions = [organization_question(organization_id, dialect)]
        return [*questions, homes_question(organization_id, dialect, keys)] if keys else questions

    async def place(self, unit: UnitOfWork, pendings: Sequence[Pending], bound: Collection[ResourceKey] = ()) -> Placed:
        """Return the writes with homes; rows are saved or deleted in the unit of work.

        `bound` are the writes whose caller does not see the whole organization: they leave columns alone whose values
        no two customers may have in common, so that nobody learns by writing which are in use (AZ-7).
        Raises ReadOnlyHome and MappingRefused (settled §1.4, §1.5).
        """
        concerned = [pending for pending in pendings if _concerns_rows(pending)]
        if not concerned:
            return Placed(list(pendings))
        work = _Work(unit, await open_facts(unit), bound)
        await work.prepare(concerned)
        placed: dict[ResourceKey, Pending] = {}
        for pending in sorted(concerned, key=_order):
            placed[pending.key] = await work.settle(pending)
        if work.unmade:
            raise DefinitionsNeeded(work.unmade)
        answered = [placed.get(pending.key, pending) for pending in pendings]
        consequences = await work.consequences(answered)
        return Placed(answered, consequences, work.unclaimed)


def _concerns_rows(pending: Pending) -> bool:
    stored = pending.stored
    if stored is not None and not stored.deleted and stored.home is not None:
        return True
    return pending.resource is not None and bool(writable_mappers(pending.key.resource_type))


class _Work:
    """One call of `place`: rows as they stand in this unit of work, and what has been looked up."""

    def __init__(self, unit: UnitOfWork, facts: Facts, bound: Collection[ResourceKey]) -> None:
        self.unit = unit
        self.facts = facts
        self.bound = bound
        self.rows: dict[RowKey, Row] = {}
        self.changed: dict[RowKey, None] = {}
        self.shown: dict[RowKey, None] = {}
        """Changed rows whose contents others show."""
        self.links: Mapping[RowKey, Sequence[PersonLink]] = {}
        """Other records of the persons whose rows these are, before anything is written."""
        self.unmade: dict[str, MetricDefinition] = {}
        self.unclaimed: dict[ResourceKey, str] = {}
        self.adopted: dict[str, Home] = {}
        """Resources that become parts of the row of another one in this unit of work (settled §1.9)."""

    async def prepare(self, pendings: Sequence[Pending]) -> None:
        """Fetch in bulk what claims need: rows of existing homes, and answers to the mappers' needs."""
        homes: dict[str, list[str]] = {}
        needs: set[Need] = set()
        offered: dict[ResourceMapper, None] = {}
        for pending in pendings:
            home = pending.stored.home if pending.stored else None
            if home is not None:
                homes.setdefault(home.table, []).append(home.key)
            if pending.resource is not None:
                if home is None:  # what has a row already cannot become part of another one
                    self.facts.members[str(pending.key)] = pending.resource
                for mapper in mappers_of_type(pending.key.resource_type):
                    offered[mapper] = None
                    needs |= mapper.needs(pending.resource)
        for table, keys in sorted(homes.items()):
            # Locked, because all columns are written: what another writer changes meanwhile would be lost.
            loaded = await self._read(table, keys, lock=True)
            self.rows.update({(table, key): row for key, row in loaded.items()})
            running = self.unit.stops.running(mappers_of_table(table))
            edges = [edge for mapper in running for edge in edges_of(mapper)]
            await load_shown(self.unit, self.facts, edges, {table: loaded.values()}, ids=False)
        await add_links(self.unit, self.facts, self.rows)
        self.links = dict(self.facts.links)
        await answer(self.unit, self.facts, needs, self.unit.stops.running(offered))

    async def _read(self, table: str, keys: Sequence[str], *, lock: bool = False) -> Mapping[str, Row]:
        """Return rows; raises MappingRefused when one cannot be read."""
        try:
            return await load_rows(self.unit.connection, table, self.unit.organization_id, keys, lock=lock)
        except READING_FAILS:
            raise MappingRefused(table, ", ".join(keys), f"a row of {table} cannot be read: mend it first") from None

    async def settle(self, pending: Pending) -> Pending:
        """Return one write with its home, its row saved or deleted."""
        stored = pending.stored
        home = stored.home if stored is not None else None
        if home is not None and stored is not None and stored.deleted and (home.table, home.key) not in self.rows:
            home = None  # a reading was withdrawn because it is shown by day only, and its row is gone since then
        if home is not None:
            return await (self._remove(pending, home) if pending.resource is None else self._update(pending, home))
        if pending.resource is None:
            return pending
        return await self._claim(pending)

    def _mapper(self, pending: Pending, home: Home) -> ResourceMapper:
        mapper = mapper_of(home.table, pending.key.resource_type)
        if mapper.read_only:
            endpoint = mapper.internal_endpoint or f"the writers of {mapper.table}"
            raise ReadOnlyHome(pending.key.resource_type, pending.key.id, endpoint)
        if self.unit.stops.reason(mapper) is not None:
            raise MapperStopped(pending.key.resource_type, mapper.table)
        return mapper

    async def _update(self, pending: Pending, home: Home) -> Pending:
        mapper = self._mapper(pending, home)
        current = self.rows.get((home.table, home.key))
        if pending.resource is None or current is None:
            raise MappingRefused(pending.key.resource_type, pending.key.id, f"the row of {home.table} is gone")
        absorbed = mapper.absorb(
            _under_own_id(pending, mapper, current, home), self.facts.lookups(), current, home.part
        )
        if isinstance(absorbed, NotClaimed):
            raise MappingRefused(pending.key.resource_type, pending.key.id, absorbed.reason)
        if not self.facts.shows(mapper, absorbed.row):
            raise MappingRefused(pending.key.resource_type, pending.key.id, by_day_only(mapper))
        absorbed = self._with_shared_columns(pending, mapper, home, current, absorbed)
        pending, absorbed = self._with_unseen_columns(pending, mapper, home, current, absorbed)
        reason = await self._unkept(home.table, absorbed.row, current)
        if reason is not None:
            raise MappingRefused(pending.key.resource_type, pending.key.id, reason)
        return await self._keep(pending, mapper, home, current, absorbed)

    def _with_shared_columns(
        self, pending: Pending, mapper: ResourceMapper, home: Home, current: Row, absorbed: Absorbed
    ) -> Absorbed:
        """Leave columns that no two customers may have in common as they are, unless who may change them did.

        What a bound caller wrote there is shown from the residual, and so it is when others write it back unchanged.
        """
        names = [name for name in shared_columns(mapper.table) if getattr(absorbed.row, name) != getattr(current, name)]
        if names and pending.key not in self.bound and pending.stored is not None:
            shown = replace(pending, resource=pending.stored.resource())
            before = mapper.absorb(
                _under_own_id(shown, mapper, current, home), self.facts.lookups(), current, home.part
            )
            if isinstance(before, NotClaimed):
                return absorbed
            names = [name for name in names if getattr(before.row, name) == getattr(absorbed.row, name)]
        if not names:
            return absorbed
        row = replace(absorbed.row, **{name: getattr(current, name) for name in names})
        return Absorbed(row, mapper.residual(row, home.part, self.facts.lookups(), pending.resource))

    def _with_unseen_columns(
        self, pending: Pending, mapper: ResourceMapper, home: Home, current: Row, absorbed: Absorbed
    ) -> tuple[Pending, Absorbed]:
        """Leave columns as they are that changed since FHIR showed them and that the writer left as FHIR showed them.

        A row that is shown now and then has often moved on; it is as if it had been changed just after this write.
        """
        stored = pending.stored
        if mapper.pace is None or stored is None or stored.deleted:
            return pending, absorbed
        shown = replace(pending, resource=stored.resource())
        seen = mapper.absorb(_under_own_id(shown, mapper, current, home), self.facts.lookups(), current, home.part)
        if isinstance(seen, NotClaimed):
            return pending, absorbed
        unseen = {
            column: getattr(current, column)
            for item in mapper.fields
            for column in item.columns
            if getattr(absorbed.row, column) == getattr(seen.row, column) != getattr(current, column)
        }
        if not unseen:
            return pending, absorbed
        row = replace(absorbed.row, **unseen)
        resource = mapper.render(row, home.part, self.facts.lookups(), absorbed.residual) | {"id": pending.key.id}
        return replace(pending, resource=resource, values=None), replace(absorbed, row=row)

    async def _claim(self, pending: Pending) -> Pending:
        """Offer a new (or so far native) resource to the mappers of its type."""
        if str(pending.key) in self.adopted:
            return await self._adopt(pending, self.adopted[str(pending.key)])
        reasons: list[str] = []
        for mapper in writable_mappers(pending.key.resource_type):
            absorbed = mapper.absorb(pending.resource, self.facts.lookups())
            if isinstance(absorbed, NotClaimed):
                reasons.append(absorbed.reason)
                continue
            if self.unit.stops.reason(mapper) is not None:  # it would be a row: it must not become native instead
                raise MapperStopped(pending.key.resource_type, mapper.table)
            row = absorbed.row
            reason = await self._refused_row(mapper, row, bound=pending.key in self.bound)
            if reason is not None:
                reasons.append(reason)
                continue
            parts = mapper.adopts(pending.resource, self.facts.lookups()) if mapper.adopts else None
            for name, part in (parts or {}).items():
                self.adopted[name] = Home(mapper.table, row.id, part)
                self.facts.members.pop(name)  # of one row only
            return await self._keep(pending, mapper, Home(mapper.table, row.id, ""), None, absorbed)
        self.unclaimed[pending.key] = "; ".join(reasons)
        return pending

    async def _adopt(self, pending: Pending, home: Home) -> Pending:
        """Give a new resource its place in a row that another one of this unit of work made."""
        mapper = self._mapper(pending, home)
        current = self.rows[home.table, home.key]
        absorbed = mapper.absorb(pending.resource, self.facts.lookups(), current, home.part)
        if isinstance(absorbed, NotClaimed):
            raise MappingRefused(pending.key.resource_type, pending.key.id, absorbed.reason)
        return await self._keep(pending, mapper, home, current, absorbed)

    async def _refused_row(self, mapper: ResourceMapper, row: Row, *, bound: bool) -> str | None:
        if unfilled := self.unit.stops.unfilled.get(mapper.table):
            return f"{mapper.table} has columns that are NOT NULL and that no field fills: {', '.join(unfilled)}"
        if bound and shared_columns(mapper.table):
            return f"rows of {mapper.table} are not made by callers bound to one patient"
        if mapper.home_system is not None and mapper.home_system != self.facts.home_system:
            return f"the organization's home system is not {mapper.home_system}"
        existing = await self._read(mapper.table, [row.id])
        if any(not self.facts.shows(mapper, each) for each in existing.values()):
            raise MappingRefused(mapper.resource_type, row.id, by_day_only(mapper))
        if not self.facts.shows(mapper, row):
            return by_day_only(mapper)
        if existing or (mapper.table, row.id) in self.rows:
            return f"{mapper.table} has a row with this id"
        return await self._unkept(mapper.table, row)

    async def _unkept(self, table: str, row: Row, before: Row | None = None) -> str | None:
        """Return why the table's own constraints keep a row out, None when they do not; what is there is possible."""
        long = overlong(table, row)
        if long is not None and (before is None or overlong(table, before) != long):
            return f"{table}.{long} takes no text so long"
        taken = await taken_unique(self.unit.connection, table, row)
        return f"{table}.{taken} is in use" if taken is not None else None

    async def _keep(
        self, pending: Pending, mapper: ResourceMapper, home: Home, current: Row | None, absorbed: Absorbed
    ) -> Pending:
        row, residual = absorbed.row, absorbed.residual
        missing = unmade(self.facts, mapper.table, row)
        if missing:  # nothing of this unit of work is kept: it is run again when they are made
            self.unmade |= missing
            return pending
        if current is None or not is_same_value(row, current):  # 6.10 is not 6.1, though both are one number
            row = await keep_row(self.unit, mapper.table, current, row)
            if _shows_stamps(mapper):
                row = (await load_rows(self.unit.connection, mapper.table, self.unit.organization_id, [row.id]))[row.id]
            self.changed[home.table, home.key] = None
            if current is not None and shows_otherwise(home.table, current, row):
                self.shown[home.table, home.key] = None
        if row != absorbed.row:  # a rule of the table or a stamp, which the resource as written does not show
            residual = mapper.residual(row, home.part, self.facts.lookups(), pending.resource)
        self.rows[home.table, home.key] = row
        self._announce(pending.key, home, row)
        return replace(pending, home=home, residual=residual_bytes(residual), keep=not mapper.telemetry)

    def _announce(self, key: ResourceKey, home: Home, row: Row) -> None:
        """Make the home known to resources of the same batch that refer to it."""
        self.facts.keep(home.table, row)
        if home.table == "customer_profiles" and row.timezone is not None:
            self.facts.time_zones[home.key] = row.timezone
        if home.table == "subscriptions":
            self.facts.treatments[home.key] = Treatment(row.customer_id, row.clinician_id)
        self.facts.homes[str(key)] = with_facts(LookupHome(home.table, home.key, home.part), self.facts)

    async def _remove(self, pending: Pending, home: Home) -> Pending:
        mapper = self._mapper(pending, home)
        pending = replace(pending, keep=not mapper.telemetry)
        current = self.rows.get((home.table, home.key))
        if current is not None and mapper.split is not None:
            remaining = mapper.without(current, home.part)
            await keep_row(self.unit, mapper.table, current, remaining)
            self.rows[home.table, home.key] = remaining
        elif current is not None:
            others = await gone_with(self.unit, mapper.table, current)
            if others is not None:
                reason = f"rows of {others} would go with it: it is deleted through {mapper.internal_endpoint}"
                raise MappingRefused(pending.key.resource_type, pending.key.id, reason)
            try:
                await remove_row(self.unit, mapper.table, current)
            except ReferenceConflict:  # of the resource: its client knows nothing of the row
                raise ReferenceConflict(pending.key.resource_type, pending.key.id, ()) from None
            self.changed.update(dict.fromkeys(owners_of_row(home.table, current)))
            self.rows.pop((home.table, home.key))
            self.shown[home.table, home.key] = None
        self.changed[home.table, home.key] = None
        return pending

    async def consequences(self, written: Sequence[Pending]) -> list[Pending]:
        """Return versions of what else the changed rows show: other parts, other resources of the same row."""
        found: list[Pending] = []
        concerned = await owners_of(self.unit, self.changed)
        left = await devices_left(self.unit, written)
        if left:
            concerned[DEVICE_TABLE] = sorted({*concerned.get(DEVICE_TABLE, ()), *left})
        for table, keys in concerned.items():
            if table in SHOWN_ONLY:
                continue
            projected = await project_rows(self.unit, self.facts, table, keys, written)
            stopped = {key: reason for key, reason in projected.failures.items() if reason.startswith(STOPPED)}
            for key, reason in projected.failures.items() - stopped.items():
                raise MappingRefused(table, key, f"the row could not be shown again: {reason}")
            if stopped:
                await note_failures(self.unit, table, list(stopped), Projected(failures=stopped))
            await note_due(self.unit, table, projected.deferred)
            found.extend(projected.pendings)
        await note_shown(self.unit, self._shown(concerned))
        await note_changed(self.unit, self.links, self.changed)
        await note_matches(self.unit, self.changed)
        await settle(self.unit, self.changed)
        return found

    def _shown(self, concerned: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
        """Return the rows whose contents others show and that may have changed: those reached through others, too."""
        tables = {table for table, _ in self.changed}
        return {
            table: [
                key
                for key in keys
                if (table, key) in self.shown
                or ((table, key) not in self.changed and any(is_shown_with(table, each) for each in tables))
            ]
            for table, keys in concerned.items()
        }


def by_day_only(mapper: ResourceMapper) -> str:
    """Return why a reading is not taken into its table: the organization has its metric shown by day only."""
    return f"the organization shows {mapper.table} of this metric by day only"


def _shows_stamps(mapper: ResourceMapper) -> bool:
    """Say whether what the database stamps shows in the resource."""
    return any(column in MADE_BY_DATABASE for item in mapper.fields for column in item.columns)


def _under_own_id(pending: Pending, mapper: ResourceMapper, row: Row, home: Home) -> Mapping[str, object]:
    """Return the resource with the id its row would give it, where the store chose another (settled §1.6)."""
    resource = pending.resource or {}
    own = mapper.resource_id(row, home.part)
    return resource if resource.get("id") == own else {**resource, "id": own}

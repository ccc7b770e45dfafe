"""Criteria of a search for AuditEvent → conditions on audit records (FHIR R4 auditevent.html#search, security AD-6).

What cannot be asked of records gives None: then only what is stored is searched, and the answer says so.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import and_, false, func, not_, or_, select, true
from sqlalchemy.sql import bindparam

from mappers.audit_event import CLIENT, INTERACTION, KIND_CODINGS, RESTFUL_INTERACTION, ROLE, ROW, USER
from mappers.audit_kinds import REST
from storage.audit_conditions import ALWAYS, NEVER, AuditColumns, AuditFilter, Condition, one_holds, one_of
from storage.audit_people import PERSONS, ids_of_patients
from storage.audit_search import record_position
from storage.reading import Reader
from storage.search.predicates.date import asked_range
from storage.search.query import (
    Criterion,
    Date,
    Ids,
    InPatient,
    LastUpdated,
    Match,
    Missing,
    Modifier,
    Prefix,
    Reference,
    Text,
    Token,
    Value,
)
from storage.sql import prepare
from storage.tables import platform
from storage.tables.audit import rbac_logs

_ACTION: Final = "http://hl7.org/fhir/audit-event-action"
_OUTCOME: Final = "http://hl7.org/fhir/audit-event-outcome"
"""Systems of the codes, which are elements of type `code`: tokens may name them all the same."""


@dataclass(frozen=True, slots=True)
class _Ground:
    """What criteria are held against: the columns, the time (microseconds since 1970 UTC), and who stands for whom."""

    columns: AuditColumns
    now: int
    users_of: Callable[[str], Awaitable[Sequence[str]]]
    ids_of: Callable[[Iterable[str]], Awaitable[tuple[str, ...]]]


async def filter_of(
    criteria: Iterable[Criterion], columns: AuditColumns, now: int, reader: Reader, organization_id: str
) -> AuditFilter | None:
    """Return the filter that criteria amount to; None where one of them cannot be asked of records.

    `now` is in milliseconds since 1970 UTC.
    """

    async def users_of(reference: str) -> Sequence[str]:
        members = platform.user_organizations
        own = members.c.organization_id == bindparam("organization_id")
        statement = select(members.c.user_id).where(own, members.c.fhir_user == bindparam("fhir_user"))
        parameters = {"organization_id": organization_id, "fhir_user": reference}
        rows = await reader.fetch(organization_id, prepare(statement, reader.dialect), parameters)
        return [user for (user,) in rows]

    async def ids_of(patients: Iterable[str]) -> tuple[str, ...]:
        return await ids_of_patients(reader, organization_id, patients)

    ground = _Ground(columns, now * 1000, users_of, ids_of)
    found = AuditFilter()
    for criterion in criteria:
        narrowed = await _narrowed(found, criterion, ground)
        if narrowed is None:
            return None
        found = narrowed
    return found


async def _narrowed(found: AuditFilter, criterion: Criterion, ground: _Ground) -> AuditFilter | None:
    match criterion:
        case Ids(_, ids):
            return _named(found, ids)
        case LastUpdated(values):
            return _within(found, values, ground)
        case InPatient(patient):
            return concerning(found, await ground.ids_of((patient,)), ground.columns)
        case Match():
            return await _matching(found, criterion, ground)
        case Missing(parameter, missing):
            has = _has(parameter.code, ground.columns)
            return _with(found, not_(has) if missing else has)
        case _:
            return None


async def _matching(found: AuditFilter, asked: Match, ground: _Ground) -> AuditFilter | None:
    code, values = asked.parameter.code, asked.values
    match code, asked.modifier:
        case "date", Modifier.NONE:
            return _within(found, values, ground)
        case "patient", Modifier.NONE:
            return concerning(found, await ground.ids_of(_patients(values)), ground.columns)
        case _ if code in _UNUSED:
            return _with(found, ALWAYS if asked.modifier in {Modifier.NOT, Modifier.NOT_IN} else NEVER)
        case _, Modifier.NOT if code in _TOKENS:
            met = await _met(_TESTS[code, Modifier.NONE], values, ground)
            return _with(found, not_(func.coalesce(met, false())))
        case key if key in _TESTS:
            return _with(found, await _met(_TESTS[key], values, ground))
        case _:
            return None


def _has(code: str, columns: AuditColumns) -> Condition:
    """Return the condition that an AuditEvent has a value of a parameter."""
    c = rbac_logs.c
    if code in _UNUSED:
        return NEVER
    known: Mapping[str, Condition] = {
        "address": and_(c.ip_address.is_not(None), c.ip_address != ""),
        "agent-role": c.actor_role != "",
        "altid": columns.is_by_person,
        "entity": or_(*(each.is_not(None) for each in (c.customer_id, c.patients, c.resource_ids, c.request_id))),
        "patient": or_(c.customer_id.is_not(None), c.patients.is_not(None)),
        "subtype": columns.subtype.is_not(None),
    }
    return known.get(code, ALWAYS)


async def _met(test: _Test, values: Iterable[Value], ground: _Ground) -> Condition:
    return one_holds([await test(each, ground) for each in values])


def _patients(values: Iterable[Value]) -> Iterator[str]:
    for each in values:
        if isinstance(each, Reference) and each.resource_type in {None, "Patient"} and each.version is None:
            yield each.id


def concerning(found: AuditFilter, people: tuple[str, ...], columns: AuditColumns) -> AuditFilter:
    """Return a filter narrowed down to records that concern one of `people`."""
    if found.people is None:
        return replace(found, people=people)
    return _with(found, columns.concerns(people))


def _with(found: AuditFilter, condition: Condition) -> AuditFilter:
    return replace(found, conditions=(*found.conditions, condition))


def _named(found: AuditFilter, ids: Iterable[str]) -> AuditFilter:
    places = frozenset(place for place in map(record_position, ids) if place is not None)
    return replace(found, places=places if found.places is None else found.places & places)


# --- instants ---------------------------------------------------------------------------------------------------------


def _within(found: AuditFilter, values: Sequence[object], ground: _Ground) -> AuditFilter:
    """Narrow the period down; several values, or one that leaves two sides, are a condition of their own."""
    dates = [each for each in values if isinstance(each, Date)]
    if len(dates) == 1 and dates[0].prefix is not Prefix.NE:
        low, high = _bounds(dates[0], ground.now)
        since = found.since if low is None else max(low, found.since if found.since is not None else low)
        until = found.until if high is None else min(high, found.until if found.until is not None else high)
        return replace(found, since=since, until=until)
    return _with(found, one_holds(_in_bounds(each, ground.now) for each in dates))


def _bounds(date: Date, now: int) -> tuple[int | None, int | None]:
    """Return [low, high) of the instants that a date admits: a record's is a point, so a range starts or ends at it."""
    low, high = asked_range(date, now)
    match date.prefix:
        case Prefix.GT | Prefix.SA:
            return high, None
        case Prefix.LT | Prefix.EB:
            return None, low
        case Prefix.GE:
            return low, None
        case Prefix.LE:
            return None, high
        case _:
            return low, high


def _in_bounds(date: Date, now: int) -> Condition:
    if date.prefix is Prefix.NE:
        return or_(rbac_logs.c.at < date.low, rbac_logs.c.at >= date.high)
    low, high = _bounds(date, now)
    since = true() if low is None else rbac_logs.c.at >= low
    until = true() if high is None else rbac_logs.c.at < high
    return and_(since, until)


# --- what else an AuditEvent shows ------------------------------------------------------------------------------------

_Test = Callable[[Value, _Ground], Awaitable[Condition]]


async def _kind(value: Value, ground: _Ground) -> Condition:
    codes = [
        code
        for code, coding in KIND_CODINGS.items()
        if isinstance(value, Token)
        and value.system in {None, coding["system"]}
        and (value.code is None or value.code.lower() == code.lower())
    ]
    return one_of(ground.columns.kind, codes)


async def _subtype(value: Value, ground: _Ground) -> Condition:
    if not isinstance(value, Token):
        return NEVER
    columns = ground.columns
    systems: Mapping[str | None, Condition] = {
        None: true(),
        RESTFUL_INTERACTION: columns.kind == REST,
        INTERACTION: columns.kind != REST,
    }
    named = systems.get(value.system, NEVER)
    code = columns.subtype.is_not(None) if value.code is None else func.lower(columns.subtype) == value.code.lower()
    return and_(named, code)


async def _action(value: Value, ground: _Ground) -> Condition:
    code = _code(value, _ACTION)
    return NEVER if code is None else ground.columns.action == code.upper()


async def _outcome(value: Value, ground: _Ground) -> Condition:
    code = _code(value, _OUTCOME)
    return NEVER if code is None else ground.columns.outcome == code


def _code(value: Value, system: str) -> str | None:
    return value.code if isinstance(value, Token) and value.system in {None, system} else None


async def _role(value: Value, _: _Ground) -> Condition:
    if not isinstance(value, Token) or value.system not in {None, ROLE}:
        return NEVER
    role = rbac_logs.c.actor_role
    return role != "" if value.code is None else func.lower(role) == value.code.lower()


async def _alternative_id(value: Value, ground: _Ground) -> Condition:
    """Return the condition on the id of a user; it has no system."""
    if not isinstance(value, Token) or value.system or value.code is None:
        return NEVER
    return and_(ground.columns.is_by_person, rbac_logs.c.actor_id == value.code)


async def _agent(value: Value, ground: _Ground) -> Condition:
    if not isinstance(value, Reference) or value.version is not None:
        return NEVER
    types = PERSONS if value.resource_type is None else (value.resource_type,)
    users = [user for each in types if each in PERSONS for user in await ground.users_of(f"{each}/{value.id}")]
    return and_(ground.columns.is_by_person, one_of(rbac_logs.c.actor_id, users))


async def _agent_identifier(value: Value, ground: _Ground) -> Condition:
    if not isinstance(value, Token) or value.system not in {None, USER, CLIENT}:
        return NEVER
    user: Condition = ground.columns.is_by_person
    client: Condition = rbac_logs.c.client_id.is_not(None)
    if value.code is not None:
        user = and_(user, rbac_logs.c.actor_id == value.code)
        client = rbac_logs.c.client_id == value.code
    return one_holds([*([user] if value.system != CLIENT else []), *([client] if value.system != USER else [])])


async def _entity(value: Value, ground: _Ground) -> Condition:
    if not isinstance(value, Reference) or value.version is not None:
        return NEVER
    columns, ids = ground.columns, rbac_logs.c.resource_ids
    if value.resource_type == "Patient":
        return columns.concerns(await ground.ids_of((value.id,)))
    resource = rbac_logs.c.resource
    if value.resource_type is not None:
        of_type = and_(resource == value.resource_type, columns.listed(ids, value.id))
        return or_(of_type, columns.listed(ids, f"{value.resource_type}/{value.id}"))
    concerned = columns.concerns(await ground.ids_of((value.id,)))
    is_resource = and_(func.substr(resource, 1, 1).between("A", "Z"), resource != "Patient")
    elsewhere = and_(columns.ends_listed(ids, f"/{value.id}"), not_(columns.listed(ids, f"Patient/{value.id}")))
    return or_(and_(is_resource, columns.listed(ids, value.id)), elsewhere, concerned)


async def _entity_identifier(value: Value, ground: _Ground) -> Condition:
    """Return the condition on the id of a request, and on the rows of the internal interfaces."""
    if not isinstance(value, Token) or value.code is None:
        return NEVER
    if not value.system:
        return rbac_logs.c.request_id == value.code
    resource = value.system.removeprefix(ROW)
    if resource == value.system:
        return NEVER
    return and_(rbac_logs.c.resource == resource, ground.columns.listed(rbac_logs.c.resource_ids, value.code))


async def _address(value: Value, ground: _Ground) -> Condition:
    return ground.columns.starts(rbac_logs.c.ip_address, value.text) if isinstance(value, Text) else NEVER


async def _exact_address(value: Value, _: _Ground) -> Condition:
    return rbac_logs.c.ip_address == value.text if isinstance(value, Text) else NEVER


_UNUSED: Final = frozenset({"_profile", "_security", "_source", "_tag"})
"""What an AuditEvent that is made of a record has no values of."""
_TOKENS: Final = frozenset({"action", "agent-role", "altid", "outcome", "subtype", "type"})
_TESTS: Final[Mapping[tuple[str, Modifier], _Test]] = {
    ("action", Modifier.NONE): _action,
    ("address", Modifier.NONE): _address,
    ("address", Modifier.EXACT): _exact_address,
    ("agent", Modifier.NONE): _agent,
    ("agent", Modifier.IDENTIFIER): _agent_identifier,
    ("agent-role", Modifier.NONE): _role,
    ("altid", Modifier.NONE): _alternative_id,
    ("entity", Modifier.NONE): _entity,
    ("entity", Modifier.IDENTIFIER): _entity_identifier,
    ("outcome", Modifier.NONE): _outcome,
    ("subtype", Modifier.NONE): _subtype,
    ("type", Modifier.NONE): _kind,
}
"""By code and modifier; `:not` of a token is what its own test is not."""

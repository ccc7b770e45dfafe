"""Records of persons as they are compared, read from the tables of the three systems.

Everything is read as text, and what is no day or no number is not known: other writers leave anything there. Columns
that the database does not have (storage/stops.py) are not known either.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from sqlalchemy import Column, Date, Text, bindparam, cast, func, literal_column, null, select

from storage.driver import Driver, Question
from storage.persons.person import (
    Person,
    day_of,
    folded,
    known,
    mailbox,
    names_in,
    postcode_in,
    sex_of,
    telephone,
)
from storage.projection.person_records import (
    AT_PROVIDER,
    CUSTOMERS,
    LOGIN,
    MEDICAL_RECORD,
    PATIENTS,
    PROFILES,
    Columns,
    Mark,
    Record,
    mark_of,
    together,
)
from storage.repositories.identity_mappings import TYPE_OF
from storage.sql import Prepared, member_of, prepare
from storage.stops import NO_STOPS, Stops
from storage.tables.care_platform import patients
from storage.tables.enums import IdentifierType
from storage.tables.health_hub import profile_emr_connections, profiles
from storage.tables.metadata import metadata
from storage.tables.patient_graph import customer_profiles, identity_mappings

ACCOUNTS: Final = frozenset(
    {
        IdentifierType.BIGCOMMERCE_CUSTOMER_ID.value,
        IdentifierType.STRIPE_CUSTOMER_ID.value,
        IdentifierType.HUBSPOT_CONTACT_ID.value,
    }
)
"""Identifier types of accounts at the shop, at billing and in the CRM."""
ACCOUNT_NAMES: Final = frozenset({*ACCOUNTS, *(name for name, kind in TYPE_OF.items() if kind.value in ACCOUNTS)})
"""What mappings of accounts have as `identifier_type`: the type itself, or the system that it stands for."""
_COLUMNS: Final[Mapping[str, Mapping[str, Column[Any]]]] = {
    CUSTOMERS: {
        "family": customer_profiles.c.last_name,
        "given": customer_profiles.c.first_name,
        "born": customer_profiles.c.date_of_birth,
        "sex": customer_profiles.c.biological_sex,
        "phone": customer_profiles.c.phone_number,
        "email": customer_profiles.c.email,
        "own": customer_profiles.c.external_id,
    },
    PATIENTS: {
        "family": patients.c.last_name,
        "given": patients.c.first_name,
        "born": patients.c.date_of_birth,
        "sex": patients.c.gender,
        "phone": patients.c.phone,
        "email": patients.c.email,
        "address": patients.c.address,
        "own": patients.c.medical_record_number,
    },
    PROFILES: {
        "words": profiles.c.legal_name,
        "called": profiles.c.display_name,
        "born": profiles.c.dob,
        "own": profiles.c.user_id,
        "whose": profiles.c.relationship,
    },
}
"""Table → what a record says of a person, and the column that says it."""
_FACTS: Final = ("family", "given", "words", "called", "born", "sex", "phone", "email", "address", "own", "whose")


class Told(NamedTuple):
    """An identifier that a record has beside its row."""

    kind: str
    system: str | None
    value: str


_TOLD: Final = "identifiers"
"""What they are asked for as, beside the tables."""


async def persons_in(
    driver: Driver, organization_id: str, records: Iterable[Record], stops: Stops = NO_STOPS
) -> dict[Record, Person]:
    """Return what some records of an organization say; those that are not there are left out."""
    keys: dict[str, list[str]] = {CUSTOMERS: [], PROFILES: []}
    for table, key in records:
        keys.setdefault(table, []).append(key)
    asked: dict[str, Question] = {}
    for table, some in keys.items():
        statement = _rows(driver.dialect, table, stops.lacking) if some else None
        if statement is not None:
            asked[table] = Question(statement, {"organization_id": organization_id, "keys": some})
    if not asked:
        return {}
    statement = _identifiers(driver.dialect, stops.lacking) if keys[CUSTOMERS] or keys[PROFILES] else None
    if statement is not None:
        whose = {table: keys[table] for table in (CUSTOMERS, PROFILES)}
        asked[_TOLD] = Question(statement, {"organization_id": organization_id, **whose})
    rows = dict(zip(asked, await driver.fetch_together(list(asked.values())), strict=True))
    told: dict[Record, list[Told]] = {}
    for table, key, *identifier in rows.pop(_TOLD, ()):
        kind, system, value = map(_text_only, identifier)
        if kind and value:
            told.setdefault((table, key), []).append(Told(kind, system, value))
    return {
        (table, key): _person(
            (table, key), dict(zip(_FACTS, map(_text_only, facts), strict=True)), told.get((table, key), ())
        )
        for table, found in rows.items()
        for key, *facts in found
    }


def _text_only(value: Any) -> str | None:
    return value if isinstance(value, str) else None


async def keys_after(driver: Driver, organization_id: str, table: str, after: str) -> list[str]:
    """Return the next keys of a table of persons, in order."""
    parameters = {"organization_id": organization_id, "after": after}
    return [row[0] for row in await driver.fetch(_keys(driver.dialect, table), parameters)]


PAGE: Final = 1000
"""Records that are read at once."""


@lru_cache
def _keys(dialect: str, table: str) -> Prepared:
    columns = metadata.tables[table].c
    own = (columns.organization_id == bindparam("organization_id"), columns.id > bindparam("after"))
    return prepare(select(columns.id).where(*own).order_by(columns.id).limit(literal_column(str(PAGE))), dialect)


@lru_cache
def _rows(dialect: str, table: str, lacking: Columns) -> Prepared | None:
    columns = metadata.tables[table].c
    facts = [_text(dialect, _COLUMNS[table].get(name), lacking) for name in _FACTS]
    own = (columns.organization_id == bindparam("organization_id"), member_of(columns.id, "keys"))
    return together(dialect, lacking, [select(columns.id, *facts).where(*own)])


def _text(dialect: str, column: Column[Any] | None, lacking: Columns) -> Any:
    if column is None or (column.table.name, column.name) in lacking:
        return null()
    if dialect == "sqlite":
        return column  # whatever another program left there; it is no text where it is none
    if column.type.python_type is str:
        return cast(column, Text)  # a foreign writer may make it a varchar: what is prepared stays valid
    day = column if isinstance(column.type, Date) else func.timezone(literal_column("'UTC'"), column)
    return func.to_char(day, literal_column("'YYYY-MM-DD'"))


@lru_cache
def _identifiers(dialect: str, lacking: Columns) -> Prepared | None:
    mapped, connected = identity_mappings.c, profile_emr_connections.c
    of_customers = select(
        literal_column(f"'{CUSTOMERS}'"),
        mapped.customer_id,
        mapped.identifier_type,
        mapped.external_system,
        mapped.external_id,
    ).where(mapped.organization_id == bindparam("organization_id"), member_of(mapped.customer_id, CUSTOMERS))
    of_profiles = select(
        literal_column(f"'{PROFILES}'"),
        connected.profile_id,
        literal_column(f"'{AT_PROVIDER}'"),
        connected.provider,
        connected.patient_emr_id,
    ).where(connected.organization_id == bindparam("organization_id"), member_of(connected.profile_id, PROFILES))
    return together(dialect, lacking, [of_customers, of_profiles])


def _person(record: Record, facts: Mapping[str, Any], told: Sequence[Told]) -> Person:
    family, given = folded(facts["family"]), folded(facts["given"])
    if record[0] == PROFILES:
        family, given = names_in(facts["words"] or facts["called"])
    said = {kind: [value for each, _, value in told if each == kind] for kind in IdentifierType}
    return Person(
        record,
        family,
        given,
        day_of(facts["born"]),
        sex_of(facts["sex"]),
        known(map(telephone, [facts["phone"], *said[IdentifierType.PHONE]])),
        known(map(mailbox, [facts["email"], *said[IdentifierType.EMAIL]])),
        folded(facts["address"]),
        postcode_in(facts["address"]),
        frozenset(_marks(record, facts, told)),
    )


def _marks(record: Record, facts: Mapping[str, Any], told: Sequence[Told]) -> Iterable[Mark]:
    table, key = record
    if table != CUSTOMERS:
        yield Mark(table, "", key)
    kind = MEDICAL_RECORD if table == PATIENTS else LOGIN
    for each in ((kind, facts["whose"], facts["own"]), *told):
        mark = account_of(*each) if table == CUSTOMERS else None
        mark = mark or mark_of(table, *each)
        if mark is not None:
            yield mark


def account_of(kind: str, system: str | None, value: str | None) -> Mark | None:
    """Return the mark of an account at the shop, at billing or in the CRM, None for any other identifier."""
    if kind not in ACCOUNT_NAMES or not value:
        return None
    if system is not None and system in TYPE_OF and TYPE_OF[system].value not in {kind, TYPE_OF.get(kind)}:
        return None  # the two contradict
    return Mark(TYPE_OF[kind].value if kind in TYPE_OF else kind, "", value)

"""Which records may be the same person as some others: looked up by what an index finds, then compared.

For a few changed records: those with an exact identifier, a birth date, a telephone, an e-mail address or a name in
common. What is written in another way than usual is found when all records are compared (`storage/persons/search.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Column, Select, bindparam, literal_column, select

from storage.driver import Driver
from storage.persons.person import Person
from storage.persons.reading import ACCOUNT_NAMES, ACCOUNTS
from storage.projection.person_records import CUSTOMERS, PATIENTS, PROFILES, Columns, Mark, Record, holders_of, together
from storage.sql import MemberOf, Prepared, member_of
from storage.stops import NO_STOPS, Stops
from storage.tables.care_platform import patients
from storage.tables.enums import IdentifierType
from storage.tables.health_hub import profiles
from storage.tables.patient_graph import customer_profiles, identity_mappings

MOST: Final = 2000
"""Records that one lookup takes from one index: more have a value that says nothing, like 1900-01-01."""
CONTACTS: Final = (IdentifierType.PHONE.value, IdentifierType.EMAIL.value)


async def candidates_of(
    driver: Driver, organization_id: str, persons: Iterable[Person], stops: Stops = NO_STOPS
) -> set[Record]:
    """Return records of the organization that may be of the same persons as some records; these may be among them."""
    asked = list(persons)
    marks = {mark for person in asked for mark in person.marks}
    accounts = {mark for mark in marks if mark.kind in ACCOUNTS}
    holders = await holders_of(driver, organization_id, marks - accounts, stops)
    found = {record for some in holders.values() for record in some}
    statement = _statement(driver.dialect, stops.lacking)
    if statement is not None:
        parameters = {"organization_id": organization_id, **_values(asked, accounts)}
        for table, key in await driver.fetch(statement, parameters):
            found.add((table, key))
    return found


def _values(persons: Iterable[Person], accounts: Iterable[Mark]) -> Mapping[str, list[str]]:
    """Return what is looked up, each value as the three systems usually write it."""
    days, phones, emails, families, givens = (set[str]() for _ in range(5))
    for person in persons:
        days |= set(_days(person.birth))
        phones |= {written for each in person.phones for written in _spellings(each)}
        emails |= person.emails
        if person.family and person.given:
            families |= _cases(person.family)
            givens |= _cases(person.given)
    return {
        "days": sorted(days),
        "instants": sorted(f"{day}T00:00:00.000000Z" for day in days),
        "phones": sorted(phones),
        "emails": sorted(emails),
        "families": sorted(families),
        "givens": sorted(givens),
        "accounts": sorted({mark.value for mark in accounts}),
        "contacts": sorted({*phones, *emails}),
    }


def _days(birth: date | None) -> Iterable[str]:
    """Yield a birth date, and the same with day and month exchanged."""
    if birth is not None:
        yield birth.isoformat()
        if birth.day <= 12:
            yield birth.replace(month=birth.day, day=birth.month).isoformat()


def _spellings(phone: str) -> Iterable[str]:
    """Yield the usual ways to write a telephone number of ten digits, or the digits."""
    yield phone
    if len(phone) == 10:
        area, exchange, line = phone[:3], phone[3:6], phone[6:]
        yield from (f"+1{phone}", f"1{phone}", f"{area}-{exchange}-{line}", f"({area}) {exchange}-{line}")
        yield from (f"+1-{area}-{exchange}-{line}", f"+1 {area}-{exchange}-{line}", f"{area}.{exchange}.{line}")


def _cases(name: str) -> set[str]:
    return {name, name.title(), name.upper()}


def _among(dialect: str, column: Column[Any], name: str) -> MemberOf:
    """Return the test of a column of days or instants against a list of their texts."""
    kinds = {"days": "date", "instants": "timestamptz"}
    return MemberOf(column, name, kinds[name] if dialect == "postgresql" else "text")


@lru_cache
def _statement(dialect: str, lacking: Columns) -> Prepared | None:
    customer, patient, profile, mapping = customer_profiles.c, patients.c, profiles.c, identity_mappings.c
    names = (
        (customer.id, member_of(customer.last_name, "families"), member_of(customer.first_name, "givens")),
        (patient.id, member_of(patient.last_name, "families"), member_of(patient.first_name, "givens")),
    )
    values = (
        (customer.id, _among(dialect, customer.date_of_birth, "days")),
        (customer.id, member_of(customer.phone_number, "phones")),
        (customer.id, member_of(customer.email, "emails")),
        (patient.id, _among(dialect, patient.date_of_birth, "instants")),
        (patient.id, member_of(patient.phone, "phones")),
        (patient.id, member_of(patient.email, "emails")),
        (profile.id, _among(dialect, profile.dob, "days")),
    )
    kind, value = mapping.identifier_type, mapping.external_id
    identifiers = (
        (mapping.customer_id, _one_of(kind, ACCOUNT_NAMES), member_of(value, "accounts")),
        (mapping.customer_id, _one_of(kind, CONTACTS), member_of(value, "contacts")),
    )
    return together(dialect, lacking, [_found(key, tests) for key, *tests in (*names, *values, *identifiers)])


_TABLES: Final = {
    customer_profiles.name: CUSTOMERS,
    identity_mappings.name: CUSTOMERS,
    patients.name: PATIENTS,
    profiles.name: PROFILES,
}


def _found(key: Column[Any], conditions: Sequence[Any]) -> Select[Any]:
    own = key.table.c.organization_id == bindparam("organization_id")
    tested = [
        each.column for each in conditions if isinstance(each, MemberOf)
    ]  # named, so that it is known what is used
    limited = select(key.label("key"), *tested).where(own, *conditions).limit(literal_column(str(MOST))).subquery()
    return select(literal_column(f"'{_TABLES[key.table.name]}'"), limited.c.key)


def _one_of(column: Column[Any], values: Iterable[str]) -> Any:
    return column.in_([literal_column(f"'{each}'") for each in sorted(values)])

"""Rows of people in the three systems, written as other programs do."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy import make_url

USER = "INSERT INTO users (id, email) VALUES ('{0}', '{0}@example.org') ON CONFLICT DO NOTHING"


@contextmanager
def connected(url: str) -> Iterator[Any]:
    """Give a connection of another program, which commits at the end."""
    if url.startswith("postgresql"):
        with psycopg.connect(url) as connection:
            yield connection
        return
    connection = sqlite3.connect(str(make_url(url).database), timeout=30)
    try:
        with connection:
            yield connection
    finally:
        connection.close()


class People:
    """People of one organization in the tables of a database."""

    def __init__(self, url: str, organization: str) -> None:
        self.url = url
        self.organization = organization

    def sql(self, *statements: str) -> None:
        """Run statements in one transaction."""
        with connected(self.url) as connection:
            for statement in statements:
                connection.execute(statement)

    def count(self, table: str, **values: str) -> int:
        """Return how many rows of the organization have these values."""
        own = {"organization_id": self.organization, **values}
        condition = " AND ".join(f"{name} = '{value}'" for name, value in own.items())
        with connected(self.url) as connection:
            return int(connection.execute(f"SELECT count(*) FROM {table} WHERE {condition}").fetchone()[0])

    def insert(self, table: str, **values: Any) -> None:
        """Insert a row; texts, booleans and None only."""
        names = ", ".join(["organization_id", *values])
        shown = ", ".join(["NULL" if each is None else f"'{each}'" for each in (self.organization, *values.values())])
        self.sql(f"INSERT INTO {table} ({names}) VALUES ({shown})")

    def customer(self, key: str, login: str | None = None, **more: Any) -> None:
        login = login or f"login-{key}"
        self.insert("customer_profiles", id=key, external_id=login, email=f"{key}@example.org", **more)

    def patient(self, key: str, number: str | None = None, **more: Any) -> None:
        values = {"first_name": "Ada", "last_name": "Quimby", **more}
        self.insert(
            "patients", id=key, medical_record_number=number, date_of_birth="1970-01-01T00:00:00.000000Z", **values
        )

    def profile(self, key: str, user: str, relationship: str | None = "self", name: str = "Me") -> None:
        self.sql(USER.format(user))
        self.insert("profiles", id=key, user_id=user, display_name=name, relationship=relationship)

    def connection(self, profile: str, provider: str, emr_id: str) -> None:
        self.insert(
            "profile_emr_connections",
            id=f"{profile}-{provider}",
            profile_id=profile,
            provider=provider,
            patient_emr_id=emr_id,
            access_token_encrypted="x",
        )

    def mapping(self, customer: str, kind: str, system: str | None, value: str) -> None:
        self.insert(
            "identity_mappings",
            id=f"{customer}-{kind}-{value}",
            customer_id=customer,
            identifier_type=kind,
            external_system=system,
            external_id=value,
        )

"""The tables: both engines give back what was written (settled §2.4, §2.6, internal_tables.md)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import CheckConstraint, Table, UniqueConstraint, text

from mappers.rows import CustomerProfile, IdentityMapping, WearableReading
from storage import rls
from storage.engine import Database
from storage.rows import delete_row, load_rows, save_row, taken_unique
from storage.sql import DIALECTS
from storage.tables.enums import CLOSED, one_of
from storage.tables.metadata import metadata
from storage.tables.types import Timestamp, is_same_value, plain_decimal
from tests.conftest import ORGANIZATION, OTHER_ORGANIZATION


async def test_a_unit_of_work_opens_on_a_migrated_database(database: Database, change) -> None:
    async with database.begin(ORGANIZATION, change) as unit:
        rows = (await unit.connection.execute(text("SELECT id FROM organizations ORDER BY id"))).scalars().all()
    assert rows == ["health-hub", "loop-health"]


def profile(**changes: object) -> CustomerProfile:
    return replace(
        CustomerProfile(
            id="cust_1",
            organization_id=ORGANIZATION,
            external_id="user_1",
            email="Jane.Doe@Example.com",
            first_name="陽菜",
            date_of_birth=date(1985, 6, 15),
            conditions=("hypothyroidism", "", "pcos, mild"),
            allergies=None,
            tags=["high-risk", {"score": Decimal("1.10")}],
            metadata={"n": Decimal("0.30"), "big": 12345678901234567890123, "nested": [None, True]},
            created_at=datetime(2026, 1, 3, 14, 5, 0, 123456, tzinfo=UTC),
        ),
        **changes,
    )


async def test_a_profile_comes_back_as_it_was_written_with_its_identifiers(fresh_database: Database, change) -> None:
    mapping = IdentityMapping("map_1", ORGANIZATION, "cust_1", "clerk_user_id", "clerk", "user_1")
    written = profile(identity_mappings=(mapping,))
    async with fresh_database.begin(ORGANIZATION, change) as unit:
        await save_row(unit.connection, "customer_profiles", written, new=True)
        loaded = (await load_rows(unit.connection, "customer_profiles", ORGANIZATION, ["cust_1", "nobody"]))["cust_1"]
    stamped = replace(loaded.identity_mappings[0], created_at=None, updated_at=None, metadata=None)
    assert stamped == mapping
    assert replace(loaded, updated_at=None, identity_mappings=()) == profile()
    assert str(loaded.metadata["n"]) == "0.30"
    assert loaded.updated_at is not None
    assert loaded.updated_at.utcoffset() == timedelta(0)


async def test_saving_again_moves_updated_at_and_leaves_created_at(fresh_database: Database, change) -> None:
    async with fresh_database.begin(ORGANIZATION, change) as unit:
        await save_row(unit.connection, "customer_profiles", profile(), new=True)
        first = (await load_rows(unit.connection, "customer_profiles", ORGANIZATION, ["cust_1"]))["cust_1"]
        await save_row(unit.connection, "customer_profiles", replace(first, first_name="Jane"), new=False)
        second = (await load_rows(unit.connection, "customer_profiles", ORGANIZATION, ["cust_1"]))["cust_1"]
    assert second.updated_at > first.updated_at
    assert second == replace(first, first_name="Jane", updated_at=second.updated_at)


async def test_dropping_an_identifier_never_deletes_an_identity_mapping(fresh_database: Database, change) -> None:
    """settled §1.4"""
    mapping = IdentityMapping("map_1", ORGANIZATION, "cust_1", "clerk_user_id", "clerk", "user_1")
    async with fresh_database.begin(ORGANIZATION, change) as unit:
        await save_row(unit.connection, "customer_profiles", profile(identity_mappings=(mapping,)), new=True)
        await save_row(unit.connection, "customer_profiles", profile(), new=False)
        loaded = (await load_rows(unit.connection, "customer_profiles", ORGANIZATION, ["cust_1"]))["cust_1"]
    assert [each.id for each in loaded.identity_mappings] == ["map_1"]


async def test_a_row_of_another_organization_is_neither_loaded_nor_changed_nor_deleted(
    fresh_database: Database, change
) -> None:
    other = replace(profile(), organization_id=OTHER_ORGANIZATION)
    async with fresh_database.begin(OTHER_ORGANIZATION, change) as unit:
        await save_row(unit.connection, "customer_profiles", other, new=True)
    async with fresh_database.begin(ORGANIZATION, change) as unit:
        assert await load_rows(unit.connection, "customer_profiles", ORGANIZATION, ["cust_1"]) == {}
        with pytest.raises(KeyError):
            await save_row(unit.connection, "customer_profiles", profile(), new=False)
        with pytest.raises(KeyError):
            await delete_row(unit.connection, "customer_profiles", profile())


async def test_a_value_that_must_be_unique_names_its_column_when_taken(fresh_database: Database, change) -> None:
    mapping = IdentityMapping("map_1", ORGANIZATION, "cust_1", "clerk_user_id", "clerk", "user_1")
    newcomer = profile(id="cust_2", external_id="user_2", email="b@example.com")
    async with fresh_database.begin(ORGANIZATION, change) as unit:
        await save_row(unit.connection, "customer_profiles", profile(identity_mappings=(mapping,)), new=True)

        async def taken(row: CustomerProfile) -> str | None:
            return await taken_unique(unit.connection, "customer_profiles", row)

        assert await taken(profile()) is None
        assert await taken(newcomer) is None
        assert await taken(replace(newcomer, email="Jane.Doe@Example.com")) == "email"
        assert await taken(replace(newcomer, external_id="user_1")) == "external_id"
        stolen = replace(mapping, id="map_2", customer_id="cust_2")
        assert await taken(replace(newcomer, identity_mappings=(stolen,))) == "identity_mappings"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (Decimal("1.10"), Decimal("1.10"), True),
        (Decimal("1.10"), Decimal("1.1"), False),
        (Decimal("1E2"), 100, True),
        (Decimal("-0"), 0, True),
        ({"a": [Decimal("1E2"), "x"], "b": None}, {"b": None, "a": [100, "x"]}, True),
        ({"a": Decimal("6.10")}, {"a": Decimal("6.1")}, False),
        (True, 1, False),
        ("1", 1, False),
        (None, None, True),
        (date(2026, 1, 1), date(2026, 1, 1), True),
    ],
)
def test_values_are_the_same_when_a_column_keeps_the_same_digits(one: object, other: object, same: bool) -> None:
    """settled §2.4"""
    assert is_same_value(one, other) is same
    assert is_same_value(other, one) is same


def test_rows_are_the_same_when_their_values_are() -> None:
    assert is_same_value(profile(), profile())
    assert not is_same_value(profile(metadata={"n": Decimal("0.30")}), profile(metadata={"n": Decimal("0.3")}))
    assert not is_same_value(profile(), profile(first_name="Jane"))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=st.decimals(allow_nan=False, allow_infinity=False))
def test_decimals_keep_their_digits_but_no_exponent_and_no_signed_zero(value: Decimal) -> None:
    """settled §2.4"""
    plain = plain_decimal(value)
    assert plain == value
    assert plain.as_tuple().exponent <= 0
    assert not (plain.is_zero() and plain.is_signed())
    assert Decimal(format(plain, "f")).as_tuple() == plain.as_tuple()


@pytest.mark.parametrize("digits", ["97.0", "0.10", "5", "-3.250", "1E+2", "-0.0", "1E-30", "9" * 60 + ".000"])
async def test_a_reading_keeps_its_digits_on_both_engines(database: Database, change, digits: str) -> None:
    reading = WearableReading(
        f"r{digits[:50]}",
        ORGANIZATION,
        "cust_digits",
        "glucose",
        Decimal(digits),
        "mg/dL",
        "dexcom_api",
        datetime(2026, 3, 20, 4, tzinfo=UTC),
    )
    async with database.begin(ORGANIZATION, change) as unit:
        owner = profile(id="cust_digits", external_id="digits", email="digits@example.com")
        if not await load_rows(unit.connection, "customer_profiles", ORGANIZATION, ["cust_digits"]):
            await save_row(unit.connection, "customer_profiles", owner, new=True)
        await save_row(unit.connection, "patient_wearable_readings", reading, new=True)
        loaded = await load_rows(unit.connection, "patient_wearable_readings", ORGANIZATION, [reading.id])
    assert loaded[reading.id].value.as_tuple() == plain_decimal(Decimal(digits)).as_tuple()


@pytest.mark.parametrize("refused", [Decimal("NaN"), Decimal("Infinity"), Decimal("1E+20000"), Decimal("1E-20000")])
def test_decimals_that_no_column_holds_are_refused(refused: Decimal) -> None:
    with pytest.raises(ValueError, match="decimal"):
        plain_decimal(refused)


def test_an_instant_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        Timestamp().process_bind_param(datetime(2026, 1, 1), DIALECTS["sqlite"])  # noqa: DTZ001


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("2026-03-20 14:30:00", datetime(2026, 3, 20, 14, 30, tzinfo=UTC)),
        ("2026-03-20T14:30:00.5+02:00", datetime(2026, 3, 20, 12, 30, 0, 500_000, tzinfo=UTC)),
        ("2026-03-20T14:30:00.000001Z", datetime(2026, 3, 20, 14, 30, 0, 1, tzinfo=UTC)),
    ],
)
def test_an_instant_that_another_writer_left_on_sqlite_is_read(written: str, read: datetime) -> None:
    assert Timestamp().process_result_value(written, DIALECTS["sqlite"]) == read


@pytest.mark.parametrize("table", rls.TENANT_TABLES, ids=lambda table: table.name)
def test_security_TN4_every_key_index_and_reference_of_a_tenant_table_starts_with_the_organization(
    table: Table,
) -> None:
    """settled §3.9, security TN-4. An index may be led by nothing else; the audit's key names both.

    A reference to the catalogue names whose row it means; tables outside tenancy are referred to by id.
    """
    assert "organization_id" in table.primary_key.columns
    assert table.primary_key.columns[0].name == "organization_id" or table.name == "rbac_logs"
    for index in table.indexes:
        assert index.columns[0].name == "organization_id", index.name
    checks = {str(each.sqltext) for each in table.constraints if isinstance(each, CheckConstraint)}
    for constraint in table.foreign_key_constraints:
        whose = constraint.column_keys[0]
        confined = whose == "organization_id" or f"{whose} IN ('*', organization_id)" in checks
        assert confined or constraint.referred_table in rls.UNBOUND_TABLES
    assert not [each for each in table.constraints if isinstance(each, UniqueConstraint)]


def test_every_table_is_either_bound_to_an_organization_or_named_as_platform() -> None:
    assert {*rls.TENANT_TABLES, *rls.UNBOUND_TABLES} == set(metadata.tables.values())


@pytest.mark.parametrize("members", CLOSED, ids=lambda members: members.__name__)
def test_closed_enumerations_are_checked_by_the_database(members: type[StrEnum]) -> None:
    """settled §2.2"""
    conditions = [
        str(constraint.sqltext)
        for table in rls.TENANT_TABLES
        for constraint in table.constraints
        if isinstance(constraint, CheckConstraint)
    ]
    assert any(condition.endswith(one_of("", members)) for condition in conditions)

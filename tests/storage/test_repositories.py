"""Repositories: typed rows, one organization, optimistic concurrency, states in one place (internal_tables.md)."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from mappers.rows import (
    CustomerProfile,
    IdentityMapping,
    LabResult,
    Organization,
    PatientPrescription,
    Protocol,
    Subscription,
    WearableDailyStat,
    WearableReading,
)
from storage.engine import Database
from storage.errors import ReferenceConflict, ResourceNotFound, UnresolvedReference, VersionConflict
from storage.repositories.entities import Client, ConversationEntry, PatientEvent, User, UserOrganization
from storage.repositories.errors import TransitionRefused, UnknownValue, ValueTaken
from storage.repositories.events import ConversationRepository, EventRepository
from storage.repositories.identity_mappings import IdentityMappingRepository, completed
from storage.repositories.labs import LabRepository, lab_day_of
from storage.repositories.platform import (
    ClientRepository,
    OrganizationRepository,
    UserOrganizationRepository,
    UserRepository,
)
from storage.repositories.prescriptions import PrescriptionRepository
from storage.repositories.profiles import ProfileRepository
from storage.repositories.protocols import ProtocolRepository
from storage.repositories.subscription_states import NEXT, STAMPS, transition
from storage.repositories.subscriptions import SubscriptionRepository
from storage.repositories.table import Window
from storage.repositories.wearables import DailyStatRepository, ReadingRepository
from storage.tables.enums import SubscriptionStatus
from storage.transaction import Change, UnitOfWork
from tests.conftest import ORGANIZATION, OTHER_ORGANIZATION

NOW = datetime(2026, 3, 20, 10, tzinfo=UTC)
JANE = CustomerProfile("jane", ORGANIZATION, "user_jane", "jane@example.com", first_name="Jane")
TREATMENT = Subscription("t", ORGANIZATION, "jane", "levo", "Levothyroxine")


@pytest.fixture
async def unit(fresh_database: Database, change: Change) -> AsyncIterator[UnitOfWork]:
    """A unit of work in which Jane exists."""
    async with fresh_database.begin(ORGANIZATION, change) as opened:
        await ProfileRepository(opened).insert(JANE)
        opened.touched.clear()
        yield opened
        opened.touched.clear()


async def test_a_row_is_inserted_got_listed_updated_and_deleted(unit: UnitOfWork) -> None:
    protocols = ProtocolRepository(unit)
    stored = await protocols.insert(
        Protocol("p", ORGANIZATION, "jane", "Thyroid", "active", compounds=[{"name": "T4"}])
    )
    assert stored == await protocols.get("p")
    assert stored.created_at is not None
    assert (await protocols.list(customer_id="jane", status="active")).rows == (stored,)
    changed = await protocols.update("p", {"status": "paused"}, expected=stored.updated_at)
    assert changed == replace(stored, status="paused", paused_at=changed.paused_at, updated_at=changed.updated_at)
    assert changed.paused_at is not None
    await protocols.delete("p", expected=changed.updated_at)
    assert await protocols.find("p") is None
    with pytest.raises(ResourceNotFound):
        await protocols.get("p")
    assert list(unit.touched) == [("protocols", "p")]


async def test_a_writer_who_saw_an_older_row_is_refused(unit: UnitOfWork) -> None:
    profiles = ProfileRepository(unit)
    seen = (await profiles.get("jane")).updated_at
    await profiles.update("jane", {"first_name": "Janet"}, expected=seen)
    with pytest.raises(VersionConflict):
        await profiles.update("jane", {"first_name": "J."}, expected=seen)
    with pytest.raises(VersionConflict):
        await profiles.delete("jane", expected=seen)
    assert (await profiles.get("jane")).first_name == "Janet"


async def test_map_L3_writing_back_what_was_read_changes_nothing(unit: UnitOfWork) -> None:
    profiles = ProfileRepository(unit)
    before = await profiles.get("jane")
    assert await profiles.update("jane", {"first_name": "Jane"}) == before
    assert not unit.touched


@pytest.mark.parametrize(("taken", "column"), [({"id": "jane"}, "id"), ({"email": "jane@example.com"}, "email")])
async def test_a_unique_value_that_is_in_use_is_refused_by_name(unit: UnitOfWork, taken, column: str) -> None:
    other = CustomerProfile("john", ORGANIZATION, "user_john", "john@example.com")
    with pytest.raises(ValueTaken) as refused:
        await ProfileRepository(unit).insert(replace(other, **taken))
    assert refused.value.column == column


async def test_a_row_that_refers_to_nobody_is_refused(fresh_database: Database, change: Change) -> None:
    with pytest.raises(UnresolvedReference):
        async with fresh_database.begin(ORGANIZATION, change) as unit:
            await LabRepository(unit).insert(LabResult("l", ORGANIZATION, "nobody", "pending", {}))


async def test_a_row_that_others_refer_to_is_not_deleted(fresh_database: Database, change: Change) -> None:
    async with fresh_database.begin(ORGANIZATION, change) as unit:
        await ProfileRepository(unit).insert(JANE)
        await LabRepository(unit).insert(LabResult("l", ORGANIZATION, "jane", "pending", {}))
    with pytest.raises(ReferenceConflict):
        async with fresh_database.begin(ORGANIZATION, change) as unit:
            await ProfileRepository(unit).delete("jane")


async def test_a_row_of_another_organization_is_never_written(unit: UnitOfWork) -> None:
    with pytest.raises(ValueError, match="another organization"):
        await ProfileRepository(unit).insert(replace(JANE, id="x", organization_id=OTHER_ORGANIZATION))
    with pytest.raises(ValueError, match="another organization"):
        await ProfileRepository(unit).update("jane", {"organization_id": OTHER_ORGANIZATION})


async def test_rows_of_another_organization_are_as_absent(fresh_database: Database, change: Change) -> None:
    async with fresh_database.begin(ORGANIZATION, change) as unit:
        await ProfileRepository(unit).insert(JANE)
    async with fresh_database.begin(OTHER_ORGANIZATION, change) as unit:
        profiles = ProfileRepository(unit)
        assert await profiles.find("jane") is None
        assert await profiles.by_email("jane@example.com") is None
        assert await profiles.by_external_id("user_jane") is None
        assert (await profiles.list()).total == 0
        with pytest.raises(ResourceNotFound):
            await profiles.update("jane", {"first_name": "x"})
        with pytest.raises(ResourceNotFound):
            await profiles.delete("jane")
        await profiles.insert(replace(JANE, organization_id=OTHER_ORGANIZATION))  # the same values are free here


async def test_lists_are_cut_into_pages_newest_first(unit: UnitOfWork) -> None:
    events = EventRepository(unit)
    for number in range(5):
        created = NOW + timedelta(hours=number)
        await events.insert(PatientEvent(f"e{number}", ORGANIZATION, "jane", "note_added", created_at=created))
    page = await events.list(customer_id="jane", window=Window(limit=2, offset=2))
    assert [row.id for row in page.rows] == ["e2", "e1"]
    assert (page.total, page.page, page.has_more) == (5, 2, True)
    last = await events.list(customer_id="jane", event_type="note_added", window=Window(limit=2, offset=4))
    assert ([row.id for row in last.rows], last.has_more) == (["e0"], False)


@pytest.mark.parametrize("refused", [{"limit": 0}, {"limit": 101}, {"offset": -1}])
def test_a_window_outside_the_limits_is_refused(refused) -> None:
    with pytest.raises(ValueError, match=r"limit|offset"):
        Window(**refused)


async def test_conversations_are_listed_fifty_at_a_time_and_five_hundred_at_most(unit: UnitOfWork) -> None:
    conversations = ConversationRepository(unit)
    await conversations.insert(ConversationEntry("c", ORGANIZATION, "jane", session_id="s", role="user", content="Hi"))
    page = await conversations.list(session_id="s")
    assert (page.window.limit, page.window.most, page.rows[0].content) == (50, 500, "Hi")


async def test_a_value_outside_its_enumeration_is_refused_with_the_members(unit: UnitOfWork) -> None:
    with pytest.raises(UnknownValue, match="lab_upload"):
        await EventRepository(unit).insert(PatientEvent("e", ORGANIZATION, "jane", "party"))
    with pytest.raises(UnknownValue) as refused:
        await ProfileRepository(unit).update("jane", {"biological_sex": "F"})
    assert refused.value.allowed == ("male", "female", "other")


# Laboratory reports


async def test_uploading_a_report_again_corrects_it_and_does_not_double_it(unit: UnitOfWork) -> None:
    labs = LabRepository(unit)
    first = await labs.upload(
        LabResult("l1", ORGANIZATION, "jane", "pending", {"tsh": {"value": Decimal("5.20")}}, upload_id="u")
    )
    again = LabResult("l2", ORGANIZATION, "jane", "reviewed", {"tsh": {"value": Decimal("5.21")}}, upload_id="u")
    second = await labs.upload(again)
    assert (second.id, second.created_at, second.status) == ("l1", first.created_at, "reviewed")
    assert second.biomarkers == {"tsh": {"value": Decimal("5.21")}}
    assert (await labs.list(customer_id="jane")).total == 1
    await labs.upload(replace(again, upload_id=None))
    assert (await labs.list(customer_id="jane")).total == 2


@pytest.mark.parametrize(
    ("written", "day"),
    [
        ("2026-02-25T08:12:00-06:00", date(2026, 2, 25)),
        ("2026-03-15", date(2026, 3, 15)),
        ("2026-02-30", None),
        ("2026-02", None),
        (None, None),
    ],
)
def test_the_day_of_a_report_is_the_day_that_was_written(written: str | None, day: date | None) -> None:
    assert lab_day_of(written) == day


# Subscriptions


@pytest.mark.parametrize(("before", "after"), list(itertools.product(SubscriptionStatus, repeat=2)))
def test_a_subscription_moves_from_state_to_state_only_as_drawn(before, after) -> None:
    """internal_tables.md, 'Subscription state machine'"""
    drawn = {
        "pending": {"approved", "rejected", "cancelled"},
        "approved": {"active", "cancelled"},
        "active": {"paused", "cancelled", "completed"},
        "paused": {"active", "cancelled"},
    }
    row = replace(TREATMENT, status=before)
    if before == after:
        assert transition(row, row, NOW) is None
    elif after in drawn.get(before, set()):
        move = transition(row, replace(row, status=after), NOW)
        assert move is not None
        resumed = (before, after) == ("paused", "active")
        stamp = None if resumed else STAMPS.get(after)
        stamps = {column: getattr(move.row, column) for column in STAMPS.values()}
        assert stamps == {column: NOW if column == stamp else None for column in stamps}
    else:
        with pytest.raises(TransitionRefused) as refused:
            transition(row, replace(row, status=after), NOW)
        assert set(refused.value.allowed) == drawn.get(before, set()) == NEXT[before]


async def test_each_transition_stamps_its_column_and_writes_an_event(unit: UnitOfWork) -> None:
    treatments, events = SubscriptionRepository(unit), EventRepository(unit)
    await treatments.insert(TREATMENT)
    approved = await treatments.update("t", {"status": "approved", "clinician_id": "dr_smith"})
    active = await treatments.update("t", {"status": "active", "started_at": NOW})
    assert approved.approved_at == datetime.fromtimestamp(unit.now / 1000, UTC)
    assert (active.started_at, active.approved_at) == (NOW, approved.approved_at)
    paused = await treatments.update("t", {"status": "paused"})
    resumed = await treatments.update("t", {"status": "active"})
    assert (resumed.started_at, resumed.paused_at) == (NOW, paused.paused_at)
    await treatments.update("t", {"status": "completed"})
    written = (await events.list(customer_id="jane")).rows
    assert sorted(row.type for row in written) == sorted(
        f"treatment_{what}" for what in ("requested", "approved", "started", "paused", "started", "completed")
    )
    assert all(row.data["treatmentId"] == "t" and row.created_by == "tester" for row in written)


async def test_a_refused_transition_leaves_row_and_timeline_as_they_were(unit: UnitOfWork) -> None:
    treatments = SubscriptionRepository(unit)
    await treatments.insert(replace(TREATMENT, status="cancelled"))
    with pytest.raises(TransitionRefused, match="cancelled is final"):
        await treatments.update("t", {"status": "active"})
    assert (await treatments.get("t")).status == "cancelled"
    assert (await EventRepository(unit).list()).total == 0


async def test_a_prescription_shows_with_its_treatment_and_keeps_its_untidy_quantity(unit: UnitOfWork) -> None:
    treatments, prescriptions = SubscriptionRepository(unit), PrescriptionRepository(unit)
    await treatments.insert(TREATMENT)
    row = PatientPrescription("rx", ORGANIZATION, "jane", "t", "rimo_1", "Levothyroxine", "112mcg")
    stored = await prescriptions.insert(replace(row, quantity="1 vial (10 mL)", refills=Decimal("3.0")))
    assert (stored.quantity, str(stored.refills)) == ("1 vial (10 mL)", "3.0")
    assert await prescriptions.by_order("rimo_1") == stored
    assert (await prescriptions.list(treatment_id="t", status="pending")).rows == (stored,)
    assert (await treatments.get("t")).patient_prescriptions == (stored,)
    assert (await treatments.list(rimo_treatment_id="none")).rows == ()


async def test_a_treatment_with_prescriptions_is_not_deleted(fresh_database: Database, change: Change) -> None:
    async with fresh_database.begin(ORGANIZATION, change) as unit:
        await ProfileRepository(unit).insert(JANE)
        await SubscriptionRepository(unit).insert(TREATMENT)
        row = PatientPrescription("rx", ORGANIZATION, "jane", "t", "rimo_1", "Levothyroxine", "112mcg")
        await PrescriptionRepository(unit).insert(row)
    with pytest.raises(ReferenceConflict):
        async with fresh_database.begin(ORGANIZATION, change) as unit:
            await SubscriptionRepository(unit).delete("t")


# Identity mappings and wearables


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (("clerk_user_id", None), ("clerk_user_id", "clerk")),
        ((None, "stripe"), ("stripe_customer_id", "stripe")),
        ((None, "rimo"), ("rimo", "rimo")),
        (("rimo", None), ("rimo", None)),
        (("email", "email"), ("email", "email")),
    ],
)
def test_identifier_type_and_system_imply_each_other_where_the_enumeration_has_them(given, meant) -> None:
    assert completed(*given) == meant


@pytest.mark.parametrize("given", [(None, None), ("clerk_user_id", "stripe")])
def test_identifiers_without_type_or_with_a_contradiction_are_refused(given) -> None:
    with pytest.raises(ValueError, match="external_system"):
        completed(*given)


async def test_an_external_id_is_resolved_to_its_customer(unit: UnitOfWork) -> None:
    mappings = IdentityMappingRepository(unit)
    await mappings.insert(IdentityMapping("m", ORGANIZATION, "jane", "stripe_customer_id", "stripe", "cus_1"))
    for asked in ({"identifier_type": "stripe_customer_id"}, {"external_system": "stripe"}):
        found = await mappings.resolve("cus_1", **asked)
        assert found is not None
        assert found.customer_id == "jane"
    assert await mappings.resolve("cus_1", external_system="clerk") is None
    assert (await mappings.list(customer_id="jane")).total == 1
    assert [each.id for each in (await ProfileRepository(unit).get("jane")).identity_mappings] == ["m"]


async def test_readings_are_found_by_metric_and_time(unit: UnitOfWork) -> None:
    readings = ReadingRepository(unit)
    for hour in range(4):
        at = NOW + timedelta(hours=hour)
        value = Decimal("97.0") + hour
        await readings.insert(
            WearableReading(f"r{hour}", ORGANIZATION, "jane", "glucose", value, "mg/dL", "dexcom_api", at)
        )
    asked = await readings.list(
        customer_id="jane", data_type="glucose", since=NOW + timedelta(hours=1), until=NOW + timedelta(hours=2)
    )
    assert [str(row.value) for row in asked.rows] == ["99.0", "98.0"]


async def test_the_statistics_of_a_day_are_recorded_once(unit: UnitOfWork) -> None:
    stats = DailyStatRepository(unit)
    row = WearableDailyStat("s1", ORGANIZATION, "jane", date(2026, 3, 8), "steps", "count", sum_value=Decimal(11676))
    first = await stats.record(row)
    second = await stats.record(replace(row, id="s2", sum_value=Decimal(13846), closed_at=NOW))
    assert (second.id, second.sum_value, second.closed_at) == ("s1", 13846, NOW)
    assert second.created_at == first.created_at
    await stats.record(replace(row, id="s3", date=date(2026, 3, 9)))
    days = await stats.list(customer_id="jane", data_type="steps", since=date(2026, 3, 9), until=date(2026, 3, 9))
    assert [each.id for each in days.rows] == ["s3"]


# Platform


async def test_users_have_roles_and_patients_in_organizations(fresh_database: Database) -> None:
    async with fresh_database.platform() as connection:
        users, roles = UserRepository(connection), UserOrganizationRepository(connection)
        await users.insert(User("u", "jane@example.com", first_name="Jane"))
        found = await users.by_email("Jane@Example.com")
        assert found is not None
        assert found.id == "u"
        await roles.insert(UserOrganization("r1", "u", ORGANIZATION, "PATIENT", fhir_user="Patient/jane"))
        await roles.insert(UserOrganization("r2", "u", OTHER_ORGANIZATION, "STAFF", is_active=False))
        assert [row.id for row in await roles.of_user("u")] == ["r1"]
        assert [row.id for row in await roles.of_user("u", active=False)] == ["r1", "r2"]
        with pytest.raises(ValueTaken):
            await roles.insert(UserOrganization("r3", "u", ORGANIZATION, "STAFF"))
        with pytest.raises(UnknownValue, match="ORG_ADMIN"):
            await roles.insert(UserOrganization("r4", "u", ORGANIZATION, "KING"))
        await users.set_patients("u", ORGANIZATION, ["jane", "child", "jane"])
        assert await users.patients_of("u", ORGANIZATION) == ("child", "jane")
        await users.set_patients("u", ORGANIZATION, [])
        assert await users.patients_of("u", ORGANIZATION) == ()


async def test_a_client_keeps_what_it_was_registered_with(fresh_database: Database) -> None:
    client = Client(
        "app",
        "confidential",
        ORGANIZATION,
        redirect_uris=("https://app.example/cb", "https://app.example/cb2"),
        jwks={"keys": []},
        scope="user/*.rs",
    )
    async with fresh_database.platform() as connection:
        clients = ClientRepository(connection)
        stored = await clients.insert(client)
        assert replace(stored, created_at=None, updated_at=None, metadata=None) == client
        renamed = await clients.update(replace(stored, name="App", is_active=False))
        assert (renamed.name, renamed.is_active) == ("App", False)
        assert await clients.update(renamed) == renamed
        assert [row.id for row in await clients.all()] == ["app"]
        await clients.delete("app")
        with pytest.raises(ResourceNotFound):
            await clients.get("app")


async def test_an_organization_is_added_and_kept_while_others_refer_to_it(fresh_database: Database) -> None:
    async with fresh_database.platform() as connection:
        organizations = OrganizationRepository(connection)
        acme = await organizations.insert(Organization("acme", "Acme", settings={"timezone": "Europe/Berlin"}))
        assert acme.settings == {"timezone": "Europe/Berlin"}
        assert [row.id for row in await organizations.all()] == ["acme", "health-hub", "loop-health"]
        with pytest.raises(ValueTaken):
            await organizations.insert(acme)
        await ClientRepository(connection).insert(Client("app", "backend", "acme"))
    with pytest.raises(ReferenceConflict):
        async with fresh_database.platform() as connection:
            await OrganizationRepository(connection).delete("acme")

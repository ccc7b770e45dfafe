"""Repositories of the health hub (health_hub.md, settled §2.5): what was received, made of it, and who may fetch it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import fields, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import NullPool, create_engine, make_url, text

from mappers.hub_rows import CleanRecord, EmrConnection, Profile
from storage.engine import Database
from storage.errors import ResourceNotFound, UnresolvedReference
from storage.repositories.entities import User
from storage.repositories.errors import TransitionRefused, UnknownValue, ValueTaken
from storage.repositories.hub_entities import NormalizedRecord, OAuthState, ProfileSummary, RawRecord, SyncJob, Tokens
from storage.repositories.hub_profiles import EmrConnectionRepository, HubProfileRepository
from storage.repositories.hub_records import CleanRepository, NormalizedRepository, RawRepository, digest, is_intact
from storage.repositories.hub_syncs import OAuthStateRepository, SummaryRepository, SyncJobRepository
from storage.repositories.platform import UserRepository
from storage.repositories.table import TableRepository
from storage.tables import health_hub
from storage.tables.enums import SyncStatus
from storage.transaction import Change, UnitOfWork
from tests.conftest import ORGANIZATION, OTHER_ORGANIZATION

HUB = OTHER_ORGANIZATION
"""health-hub: the organization that the hub runs as."""
NOW = datetime(2026, 3, 20, 10, tzinfo=UTC)
ME = Profile("me", HUB, "laura", "Me", "Laura M Bianchi", date(1974, 8, 9), "self")
EPIC = EmrConnection("c", HUB, "me", "epic", "erX")
TOKENS = Tokens("secret-access", "secret-refresh", NOW)
RECEIVED = b'{ "resourceType":"Observation",\n "id":"o1", "valueQuantity":{"value":6.10, "code":"%"}, "n":1E2}'
RAW = RawRecord("r", HUB, "me", "epic", "Observation", "o1", RECEIVED, fetched_at=NOW)
CLEAN = CleanRecord("k", HUB, "me", "Observation", {"value": Decimal("6.10")}, [{"provider": "epic", "raw_id": "r"}])


@pytest.fixture
async def hub(fresh_database: Database) -> Database:
    """A database in which Laura has an account."""
    async with fresh_database.platform() as connection:
        await UserRepository(connection).insert(User("laura", "laura@example.com"))
    return fresh_database


@pytest.fixture
async def unit(hub: Database, change: Change) -> AsyncIterator[UnitOfWork]:
    """A unit of work in which Laura has a profile."""
    async with hub.begin(HUB, change) as opened:
        await HubProfileRepository(opened).insert(ME)
        opened.touched.clear()
        yield opened
        opened.touched.clear()


async def count(unit: UnitOfWork, table: str) -> int:
    return int(await unit.connection.scalar(text(f"SELECT count(*) FROM {table}")) or 0)


async def test_a_profile_is_shown_with_its_connections(unit: UnitOfWork) -> None:
    profiles = HubProfileRepository(unit)
    assert replace(await profiles.get("me"), created_at=None) == ME
    connection = await EmrConnectionRepository(unit).connect(EPIC, TOKENS)
    assert (await profiles.get("me")).profile_emr_connections == (connection,)
    assert (await profiles.list(user_id="laura")).total == 1
    assert (await profiles.list(user_id="nobody")).total == 0
    changed = await profiles.update("me", {"display_name": "Laura"})
    assert changed.display_name == "Laura"
    assert list(unit.touched) == [("profile_emr_connections", "c"), ("profiles", "me")]


async def test_a_profile_belongs_to_a_user(hub: Database, change: Change) -> None:
    with pytest.raises(UnresolvedReference):
        async with hub.begin(HUB, change) as unit:
            await HubProfileRepository(unit).insert(replace(ME, user_id="nobody"))


async def test_with_a_profile_goes_all_that_was_gathered_for_it(unit: UnitOfWork) -> None:
    await EmrConnectionRepository(unit).connect(EPIC, TOKENS)
    await RawRepository(unit).put([RAW])
    await NormalizedRepository(unit).insert(NormalizedRecord("n", HUB, "me", "epic", "Observation", {}))
    await CleanRepository(unit).insert(CLEAN)
    await SummaryRepository(unit).put(ProfileSummary("me", HUB, "ready", {}))
    await SyncJobRepository(unit).insert(SyncJob("j", HUB, "me", "epic"))
    await OAuthStateRepository(unit).add(OAuthState("s", HUB, "laura", "me", "epic", NOW))
    unit.touched.clear()
    await HubProfileRepository(unit).delete("me")
    for table in health_hub.TENANT_TABLES:
        assert await count(unit, table.name) == 0, table.name
    assert set(unit.touched) == {("profiles", "me"), ("profile_fhir_resources_clean", "k")}
    with pytest.raises(ResourceNotFound):
        await HubProfileRepository(unit).delete("me")


async def test_with_a_user_go_the_profiles(hub: Database, change: Change) -> None:
    async with hub.begin(HUB, change) as unit:
        await HubProfileRepository(unit).insert(ME)
        await CleanRepository(unit).insert(CLEAN)
    async with hub.platform() as connection:
        await UserRepository(connection).delete("laura")
    async with hub.begin(HUB, change) as unit:
        assert await count(unit, "profiles") + await count(unit, "profile_fhir_resources_clean") == 0


class TestConnections:
    async def test_connecting_again_keeps_the_connection_and_changes_its_tokens(self, unit: UnitOfWork) -> None:
        connections = EmrConnectionRepository(unit)
        first = await connections.connect(EPIC, TOKENS)
        await connections.update("c", {"status": "needs_sign_in", "last_error": "invalid_grant"})
        again = await connections.connect(replace(EPIC, id="other", patient_emr_id="erY"), Tokens("new"))
        assert (again.id, again.created_at, again.patient_emr_id) == ("c", first.created_at, "erY")
        assert (again.status, again.last_error, again.expires_at) == ("connected", None, None)
        assert again.updated_at > first.updated_at
        assert await connections.tokens("c") == Tokens("new")
        assert (await connections.list(provider="epic", status="connected")).rows == (again,)

    async def test_C8_a_refused_refresh_leaves_the_tokens_and_a_later_one_mends_it(self, unit: UnitOfWork) -> None:
        connections = EmrConnectionRepository(unit)
        await connections.connect(EPIC, TOKENS)
        await connections.update("c", {"status": "needs_sign_in", "last_error": "invalid_grant"})
        assert await connections.tokens("c") == TOKENS
        later = NOW + timedelta(hours=1)
        mended = await connections.refresh("c", Tokens("newer", None, later))
        assert (mended.status, mended.last_error, mended.expires_at) == ("connected", None, later)
        assert await connections.tokens("c") == Tokens("newer", "secret-refresh", later)

    async def test_there_is_one_for_each_profile_and_provider(self, unit: UnitOfWork) -> None:
        connections = EmrConnectionRepository(unit)
        await connections.connect(EPIC, TOKENS)
        await connections.connect(replace(EPIC, id="a", provider="athena"), TOKENS)
        with pytest.raises(ValueTaken):
            await connections.update("a", {"provider": "epic"})

    async def test_a_status_that_nobody_knows_is_refused(self, unit: UnitOfWork) -> None:
        with pytest.raises(UnknownValue):
            await EmrConnectionRepository(unit).connect(replace(EPIC, status="fine"), TOKENS)

    async def test_tokens_are_in_no_row_and_in_no_repr(self, unit: UnitOfWork) -> None:
        names = {each.name for each in fields(EmrConnection)} | {each.name for each in fields(Profile)}
        assert not {name for name in names if "token" in name}
        connections = EmrConnectionRepository(unit)
        shown = [await connections.connect(EPIC, TOKENS), TOKENS, await HubProfileRepository(unit).get("me")]
        assert "secret" not in repr(shown)
        with pytest.raises(TypeError, match="connect"):
            await connections.insert(EPIC)
        with pytest.raises(ResourceNotFound):
            await connections.tokens("nobody")


class TestRawRecords:
    async def test_settled_2_5_hold_the_bytes_as_received_with_their_hash(self, unit: UnitOfWork) -> None:
        raw = RawRepository(unit)
        assert await raw.put([RAW]) == ("r",)
        stored = await raw.get("r")
        assert stored.resource_json == RECEIVED
        assert stored == replace(RAW, sha256=digest(RECEIVED))
        assert is_intact(stored)
        assert not is_intact(replace(stored, resource_json=RECEIVED + b" "))
        assert is_intact(replace(stored, sha256=None))

    async def test_fetched_again_they_keep_their_id_and_tell_whether_anything_changed(self, unit: UnitOfWork) -> None:
        raw = RawRepository(unit)
        await raw.put([RAW])
        later = replace(RAW, id="x", fetched_at=NOW + timedelta(hours=1), etag='W/"2"', fetch_url="https://e/o1")
        assert await raw.put([later]) == ()
        assert await raw.get("r") == replace(later, id="r", sha256=digest(RECEIVED))
        assert await raw.put([replace(later, resource_json=b"{}"), replace(RAW, id="y", resource_id="o2")]) == (
            "r",
            "y",
        )
        assert (await raw.get("r")).resource_json == b"{}"
        assert (await raw.list(profile_id="me", resource_type="Observation")).total == 2

    async def test_an_answer_that_was_overtaken_does_not_win(self, unit: UnitOfWork) -> None:
        raw = RawRepository(unit)
        await raw.put([RAW])
        assert await raw.put([replace(RAW, resource_json=b"old", fetched_at=NOW - timedelta(seconds=1))]) == ()
        assert (await raw.get("r")).resource_json == RECEIVED

    async def test_of_equal_ones_the_last_counts_and_without_a_time_they_came_now(self, unit: UnitOfWork) -> None:
        raw = RawRepository(unit)
        one = replace(RAW, fetched_at=None, resource_json=b"1")
        assert await raw.put([one, replace(one, id="second", resource_json=b"2")]) == ("second",)
        stored = await raw.get("second")
        assert stored.resource_json == b"2"
        assert stored.fetched_at is not None
        assert await raw.put([]) == ()

    async def test_many_are_put_at_once(self, unit: UnitOfWork) -> None:
        raw = RawRepository(unit)
        many = [replace(RAW, id=f"r{number}", resource_id=f"o{number}") for number in range(1201)]
        assert len(await raw.put(many)) == 1201
        assert await raw.put(many) == ()

    async def test_of_nobody_are_refused(self, hub: Database, change: Change) -> None:
        with pytest.raises(UnresolvedReference):
            async with hub.begin(HUB, change) as unit:
                await RawRepository(unit).put([RAW])

    async def test_are_in_no_repr(self) -> None:
        assert "Observation" in repr(RAW)
        assert "6.10" not in repr(RAW)


class TestStages:
    async def test_running_one_again_changes_nothing(self, unit: UnitOfWork) -> None:
        clean, normalized = CleanRepository(unit), NormalizedRepository(unit)
        record = NormalizedRecord("n", HUB, "me", "epic", "Observation", {"value": Decimal("6.10")}, "LOINC|4548-4")
        assert await normalized.replace("me", "epic", [record]) == ("n",)
        assert await clean.replace("me", [CLEAN]) == ("k",)
        before = (await clean.get("k"), await normalized.get("n"))
        unit.touched.clear()
        assert await normalized.replace("me", "epic", [record]) == ()
        assert await clean.replace("me", [CLEAN]) == ()
        assert (await clean.get("k"), await normalized.get("n")) == before
        assert not unit.touched
        assert (await normalized.list(canonical_code="LOINC|4548-4")).rows == (before[1],)

    async def test_only_what_differs_is_written_and_what_is_gone_is_deleted(self, unit: UnitOfWork) -> None:
        clean = CleanRepository(unit)
        await clean.replace("me", [CLEAN, replace(CLEAN, id="l"), replace(CLEAN, id="m")])
        created = (await clean.get("l")).created_at
        unit.touched.clear()
        wanted = [CLEAN, replace(CLEAN, id="l", clean_json={"value": Decimal("6.1")}), replace(CLEAN, id="z")]
        assert await clean.replace("me", wanted) == ("m", "l", "z")
        assert {key for table, key in unit.touched if table == clean.table_name} == {"m", "l", "z"}
        assert (await clean.get("l")).created_at == created
        assert {row.id for row in (await clean.list(profile_id="me")).rows} == {"k", "l", "z"}

    async def test_normalized_records_of_other_providers_stay(self, unit: UnitOfWork) -> None:
        normalized = NormalizedRepository(unit)
        record = NormalizedRecord("n", HUB, "me", "epic", "Observation", {}, normalized_at=NOW)
        await normalized.replace("me", "epic", [record])
        await normalized.replace("me", "athena", [replace(record, id="a", provider="athena")])
        assert await normalized.replace("me", "epic", [replace(record, normalized_json={"a": 1}, normalized_at=None)])
        assert (await normalized.get("n")).normalized_at > NOW
        assert await normalized.replace("me", "epic", []) == ("n",)
        assert [row.id for row in (await normalized.list(profile_id="me")).rows] == ["a"]


class TestWork:
    async def test_a_job_ends_once(self, unit: UnitOfWork) -> None:
        jobs = SyncJobRepository(unit)
        started = await jobs.insert(SyncJob("j", HUB, "me", "epic"))
        assert started.started_at is not None
        with pytest.raises(TransitionRefused):
            await jobs.finish("j", SyncStatus.RUNNING)
        done = await jobs.finish("j", SyncStatus.SUCCESS, resources_fetched=21)
        assert (done.status, done.resources_fetched, done.started_at) == ("success", 21, started.started_at)
        assert done.finished_at is not None
        with pytest.raises(TransitionRefused):
            await jobs.finish("j", SyncStatus.FAILED, error_message="401")
        assert (await jobs.list(profile_id="me", status="success")).rows == (done,)

    async def test_C10_a_summary_that_is_not_there_is_absent_and_not_empty(self, unit: UnitOfWork) -> None:
        summaries = SummaryRepository(unit)
        assert (await summaries.get("me")).status == "absent"
        assert (await summaries.put(ProfileSummary("me", HUB, "syncing"))).status == "syncing"
        ready = ProfileSummary("me", HUB, "ready", {"latest": {"hba1c": Decimal("6.10")}}, NOW)
        assert await summaries.put(ready) == ready
        assert str((await summaries.get("me")).summary_json["latest"]["hba1c"]) == "6.10"
        with pytest.raises(UnknownValue):
            await summaries.put(replace(ready, status="fine"))

    async def test_a_state_is_good_for_one_callback(self, unit: UnitOfWork) -> None:
        states = OAuthStateRepository(unit)
        state = OAuthState("s-1", HUB, "laura", "me", "epic", datetime(2100, 1, 1, tzinfo=UTC))
        await states.add(state)
        assert await states.take("s-2") is None
        assert await states.take("s-1") == state
        assert await states.take("s-1") is None
        assert "s-1" not in repr(state)

    async def test_a_state_expires(self, unit: UnitOfWork) -> None:
        states = OAuthStateRepository(unit)
        for name in ("one", "two"):
            await states.add(OAuthState(name, HUB, "laura", "me", "epic", NOW - timedelta(days=9999)))
        assert await states.take("one") is None
        assert await states.forget_expired() == 1

    async def test_a_summary_of_a_profile_that_does_not_exist_is_refused(self, hub: Database, change: Change) -> None:
        with pytest.raises(UnresolvedReference):
            async with hub.begin(HUB, change) as unit:
                await SummaryRepository(unit).put(ProfileSummary("nobody", HUB))

    async def test_a_state_for_a_profile_that_does_not_exist_is_refused(self, hub: Database, change: Change) -> None:
        with pytest.raises(UnresolvedReference):
            async with hub.begin(HUB, change) as unit:
                await OAuthStateRepository(unit).add(OAuthState("s", HUB, "laura", "nobody", "epic", NOW))


async def test_rows_of_another_organization_are_as_absent_and_their_keys_free(hub: Database, change: Change) -> None:
    async with hub.begin(HUB, change) as unit:
        await HubProfileRepository(unit).insert(ME)
        await EmrConnectionRepository(unit).connect(EPIC, TOKENS)
        await RawRepository(unit).put([RAW])
        await CleanRepository(unit).insert(CLEAN)
        await OAuthStateRepository(unit).add(OAuthState("s", HUB, "laura", "me", "epic", NOW + timedelta(days=36500)))
    async with hub.begin(ORGANIZATION, change) as unit:
        for repository in (HubProfileRepository, EmrConnectionRepository, RawRepository, CleanRepository):
            rows: TableRepository = repository(unit)
            assert await rows.find({"profiles": "me"}.get(rows.table_name, "c")) is None
            assert (await repository(unit).list()).total == 0
        assert await OAuthStateRepository(unit).take("s") is None
        assert (await SummaryRepository(unit).get("me")).organization_id == ORGANIZATION
        await HubProfileRepository(unit).insert(replace(ME, organization_id=ORGANIZATION))
        await RawRepository(unit).put([replace(RAW, organization_id=ORGANIZATION)])
        for refused in (RawRepository(unit).put([RAW]), SummaryRepository(unit).put(ProfileSummary("me", HUB))):
            with pytest.raises(ValueError, match="another organization"):
                await refused


async def test_a_reference_does_not_reach_into_another_organization(hub: Database, change: Change) -> None:
    """security TN-4"""
    async with hub.begin(HUB, change) as unit:
        await HubProfileRepository(unit).insert(ME)
    with pytest.raises(UnresolvedReference):
        async with hub.begin(ORGANIZATION, change) as unit:
            await CleanRepository(unit).insert(replace(CLEAN, organization_id=ORGANIZATION))


FOREIGN = (
    "INSERT INTO profiles (id, user_id, display_name) VALUES ('p', 'laura', 'Me')",
    (
        "INSERT INTO profile_fhir_resources_raw (profile_id, provider, resource_type, resource_id, resource_json)"
        """ VALUES ('p', 'epic', 'Observation', 'o', '{"id":"o"}')"""
    ),
    (
        "INSERT INTO profile_fhir_resources_clean (profile_id, resource_type, clean_json, sources)"
        " VALUES ('p', 'Observation', '{}', '[]')"
    ),
)


async def test_settled_2_6_rows_of_a_writer_who_knows_no_tenancy_are_the_hubs(
    hub: Database, fresh_database_url: str, change: Change
) -> None:
    url = make_url(fresh_database_url)
    driver = "postgresql+psycopg" if url.get_backend_name() == "postgresql" else "sqlite"
    engine = create_engine(url.set(drivername=driver), poolclass=NullPool)
    with engine.begin() as connection:
        for statement in FOREIGN:
            connection.exec_driver_sql(statement)
    async with hub.begin(HUB, change) as unit:
        assert (await HubProfileRepository(unit).get("p")).organization_id == HUB
        assert (await CleanRepository(unit).list(profile_id="p")).total == 1
        (raw,) = (await RawRepository(unit).list(profile_id="p")).rows
        assert (raw.resource_json, raw.sha256) == (b'{"id":"o"}', None)

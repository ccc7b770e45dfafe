"""What one worker process holds open while it serves: connections, keys, and tasks in the background."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, NoReturn

import structlog

from fhir_server.audit_upkeep import running_audit_upkeep
from fhir_server.background import running
from fhir_server.closing import keep_days_closed
from fhir_server.drift import DriftWatch, watched_drift
from fhir_server.fhir.service import Service
from fhir_server.graph.daily_stats import running_daily_stats
from fhir_server.graph.service import GraphService
from fhir_server.heap import give_back
from fhir_server.limits.clients import followed_client_limits
from fhir_server.limits.limiter import running_limiter
from fhir_server.oauth.authenticate import Authenticator
from fhir_server.oauth.external import ExternalIssuers
from fhir_server.oauth.jwks_cache import KeySets
from fhir_server.oauth.keys import SIGNING_KEYS, KeyCipher, KeyRing
from fhir_server.oauth.password_pool import PasswordPool, hasher_of
from fhir_server.oauth.providers import load_providers
from fhir_server.oauth.revocations import Revocations
from fhir_server.oauth.service import OAuthService
from fhir_server.oauth.upkeep import running_upkeep
from fhir_server.outgoing import Outgoing
from fhir_server.settings import References, Settings
from storage.audit import AuditKey
from storage.audit_trail import create_audit_trail
from storage.clock import IdSource
from storage.engine import Database, create_database
from storage.errors import StorageError
from storage.grants import load_keys, load_revocations
from storage.history.stream import Streams
from storage.installation import client_origins, trail_ids
from storage.projection.flush import flush
from storage.projection.index_definition import outdated_indexes
from storage.projection.outbox import Projector
from storage.projection.places import Places
from storage.reading import Reader
from storage.revision import check_revision
from storage.search.searcher import Searcher
from storage.store import ResourceStore

ORIGINS_SECONDS: Final = 5.0
"""How soon the origins of a new client are known."""

KEYS_SECONDS: Final = 5.0
"""How soon a worker signs with the key that a rotation made active; the retired one verifies for longer than that."""

GIVE_BACK_SECONDS: Final = 5.0
"""How soon what large bundles took is given back; it takes a millisecond, and next to nothing when there is nothing."""

_log = structlog.get_logger("fhir_server")


@dataclass(frozen=True, slots=True)
class Worker:
    """The parts of a running worker."""

    settings: Settings
    database: Database
    service: Service
    authenticator: Authenticator
    oauth: OAuthService
    graph: GraphService
    ring: KeyRing
    drift: DriftWatch

    async def check_ready(self) -> None:
        """Return when requests can be answered.

        Raises DatabaseUnavailable, SchemaOutOfDate, and NoSigningKey or KeyUnreadable.
        """
        await asyncio.to_thread(check_revision, self.settings.database_url)
        self.ring.reload(await load_keys(self.database))
        self.ring.signing_key()
        self.ring.identity_key()


@asynccontextmanager
async def open_worker(
    settings: Settings, ids: IdSource, allow_origins: Callable[[frozenset[str]], None]
) -> AsyncIterator[Worker]:
    """Open everything, and close it in the reverse order: what was promised is made durable first (security DU-8).

    `ids` gives new ids and the time; `allow_origins` is told the origins of browser apps whenever they are looked up.
    Raises StorageError when the database is away or not migrated, and what `Settings.secret_bytes` raises.
    """
    await asyncio.to_thread(check_revision, settings.database_url)
    role = settings.database_role or None
    database = create_database(
        settings.database_url, ids=ids, pool_size=settings.pool_size, role=role, base_url=settings.fhir_base
    )
    database.flush = flush
    key = AuditKey(settings.derive("audit"))
    audit = create_audit_trail(
        settings.database_url, key, role=role, capacity=settings.audit_queue, batch=settings.audit_batch
    )

    async def keys() -> Any:
        return await load_keys(database)

    async def revoked() -> Any:
        return await load_revocations(database)

    def now() -> float:
        return ids.milliseconds() / 1000

    def open_searcher(reader: Reader) -> Searcher:
        return Searcher(reader, cursor_secret, ids.milliseconds)

    cursor_secret = settings.derive("cursors")
    async with AsyncExitStack() as stack:
        await database.open()
        stack.push_async_callback(database.close)
        await _tell_of_outdated_indexes(database)
        drift = await stack.enter_async_context(watched_drift(database))
        ring = KeyRing(KeyCipher(settings.derive(SIGNING_KEYS)), await keys())
        revocations = Revocations(revoked, interval=settings.revocation_poll_seconds)
        await stack.enter_async_context(running_audit_upkeep(database, settings, key, now))
        audit.start(await trail_ids(database))
        stack.push_async_callback(audit.close)
        await revocations.refresh()
        revocations.start()
        stack.push_async_callback(revocations.stop)
        await stack.enter_async_context(_kept_up(settings, database, allow_origins, now))
        await stack.enter_async_context(running(_follow_keys(ring, keys), "keys"))
        enforce = settings.references is References.ENFORCE
        store = ResourceStore(database, Places(), enforce_references=enforce)
        streams = Streams(database, cursor_secret, ids.milliseconds)
        limiter = await stack.enter_async_context(running_limiter(settings, database))
        limits = await stack.enter_async_context(followed_client_limits(database, settings, limiter))
        service = Service(settings, database, store, open_searcher(database), audit, open_searcher, streams, limits)
        outgoing = Outgoing(loopback=settings.dev, private=settings.allow_private_jwks)
        key_sets = KeySets(outgoing.fetch)
        external = ExternalIssuers(load_providers(settings.identity_providers), database, outgoing, key_sets)
        authenticator = Authenticator(settings, ring, revocations, keys, external=external)
        passwords = PasswordPool(hasher_of(settings))
        stack.callback(passwords.close)
        oauth = OAuthService(
            settings,
            database,
            store,
            service.searcher,
            audit,
            ring,
            revocations,
            authenticator,
            now,
            passwords=passwords,
            outgoing=outgoing,
            key_sets=key_sets,
            external=external,
        )
        days = await stack.enter_async_context(running_daily_stats(database, now))
        graph = GraphService(settings, database, audit, authenticator, limiter, days, now)
        yield Worker(settings, database, service, authenticator, oauth, graph, ring, drift)


@asynccontextmanager
async def _kept_up(
    settings: Settings, database: Database, allow_origins: Callable[[frozenset[str]], None], now: Callable[[], float]
) -> AsyncIterator[None]:
    """Do in the background what is done now and then; the origins of browser apps are known when this begins."""
    allow_origins(await _origins(database, settings))
    async with (
        _running_projector(database),
        running(_follow_origins(database, settings, allow_origins), "origins"),
        running(_keep_heap_small(), "heap"),
        running(keep_days_closed(database), "days"),
        running_upkeep(database, settings, now),
    ):
        yield


async def _tell_of_outdated_indexes(database: Database) -> None:
    """Searches of these organizations may miss resources: everything else works, so the server starts."""
    outdated = await outdated_indexes(database)
    if outdated:
        _log.warning("index_outdated", organizations=outdated, remedy="fhir-server reconcile --fix")


@asynccontextmanager
async def _running_projector(database: Database) -> AsyncIterator[None]:
    """Drain the outbox of foreign writers in the background."""
    projector = Projector(database, report=_report)
    task = asyncio.create_task(projector.run(), name="projector")
    try:
        yield
    finally:
        projector.stop()
        await task


def _report(event: str, facts: dict[str, Any]) -> None:
    _log.info(event, **facts)


async def _origins(database: Database, settings: Settings) -> frozenset[str]:
    """Return the origins of browser apps: those of clients, and the operator's."""
    return frozenset(await client_origins(database) | set(settings.cors_origins))


async def _follow_origins(database: Database, settings: Settings, allow: Callable[[frozenset[str]], None]) -> NoReturn:
    """Look the origins of clients up now and then."""
    while True:
        await asyncio.sleep(ORIGINS_SECONDS)
        with suppress(StorageError):  # the last ones known stay good until it is back
            allow(await _origins(database, settings))


async def _follow_keys(ring: KeyRing, load: Callable[[], Awaitable[Any]]) -> NoReturn:
    """Look signing keys up now and then, so that a rotation is followed by who signs (KY-1)."""
    while True:
        await asyncio.sleep(KEYS_SECONDS)
        with suppress(StorageError):  # the last ones known stay good until it is back
            ring.reload(await load())


async def _keep_heap_small() -> NoReturn:
    """Give freed memory back now and then: glibc itself does so at the end of its heap only."""
    while True:
        await asyncio.sleep(GIVE_BACK_SECONDS)
        await asyncio.to_thread(give_back)

"""What the interactions work with; put together by the composition root, once per worker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import tzinfo
from functools import cached_property

from fhir_server.fhir.json_body import JsonLimits
from fhir_server.limits.clients import ClientLimits
from fhir_server.settings import Settings
from storage.audit_search import AuditReader
from storage.audit_trail import AuditTrail
from storage.engine import Database
from storage.history.stream import Streams
from storage.reading import Reader, UnitReader
from storage.search.searcher import Searcher
from storage.store import ResourceStore
from storage.transaction import UnitOfWork


@dataclass(frozen=True)
class Service:
    """The collaborators of the FHIR interface."""

    settings: Settings
    database: Database
    store: ResourceStore
    searcher: Searcher
    audit: AuditTrail
    open_searcher: Callable[[Reader], Searcher]
    """Makes a Searcher that reads somewhere else than `searcher` does."""
    streams: Streams
    client_limits: ClientLimits | None = None
    """How many requests each client may make; None: as many as it likes."""

    @cached_property
    def base_url(self) -> str:
        """The FHIR base without trailing slash: the start of every address that is answered (IN-8)."""
        return self.settings.fhir_base

    @cached_property
    def zone(self) -> tzinfo:
        """The zone of searched times that have no offset (search.html#date)."""
        return self.settings.zone

    @cached_property
    def limits(self) -> JsonLimits:
        """Limits of one JSON body."""
        return JsonLimits(depth=self.settings.max_json_depth, nodes=self.settings.max_json_nodes)

    @cached_property
    def records(self) -> AuditReader:
        """What is on record of accesses, for who may read it."""
        return AuditReader(self.database, self.settings.database_url)

    def within(self, unit: UnitOfWork) -> Service:
        """Return the same service reading inside a unit of work: it sees what was written there (B10)."""
        reader = UnitReader(unit)
        return replace(
            self,
            store=self.store.reading(reader),
            searcher=self.open_searcher(reader),
            streams=self.streams.reading(reader),
        )

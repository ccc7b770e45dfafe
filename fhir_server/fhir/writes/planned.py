"""What writes are before and after they are carried out: plans, the run of a unit of work, results."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from fhir_server.errors import EntryFailed, RequestError
from fhir_server.fhir.patch.patches import Patch
from fhir_server.fhir.references import NO_LINKS, Links
from fhir_server.fhir.routing import Interaction
from fhir_server.fhir.service import Service
from storage.access import Access
from storage.errors import AuditUnavailable, ConcurrencyConflict, DatabaseUnavailable, StorageError
from storage.resources import ResourceKey, Version, Write
from storage.search.query import Criterion
from storage.transaction import UnitOfWork

Criteria = tuple[Criterion, ...]
TRANSIENT = (AuditUnavailable, ConcurrencyConflict, DatabaseUnavailable)
"""What no entry is to blame for; a unit of work is run again after some of these."""


@dataclass(slots=True)
class PlannedWrite:
    """One intended write: a create, update, patch or delete (`interaction`).

    `resource` is validated; that of a patch is known when the stored one is. With `criteria` the write is conditional:
    a create by `If-None-Exist`, any other by the query of its address. Then `key` has the id that it gets if it
    creates, and `chosen_id` is the one that the body of an update names. `must_exist` tells that its id may not be a
    new one. `entry` is its place in the bundle that
    brought it, None for a request of its own.
    """

    interaction: Interaction
    key: ResourceKey
    resource: dict[str, Any] | None = None
    patch: Patch | None = None
    criteria: Criteria | None = None
    chosen_id: str | None = None
    expected_version: int | None = None
    full_url: str | None = None
    must_exist: bool = False
    links: Links = NO_LINKS
    entry: int | None = None

    def as_write(self) -> Write:
        """Return the write for the store."""
        return Write(
            self.key,
            self.resource,
            expected_version=self.expected_version,
            must_exist=self.must_exist,
            must_not_exist=self.interaction is Interaction.CREATE,
        )

    @property
    def deletes(self) -> bool:
        """Whether nothing is left of the resource."""
        return self.interaction is Interaction.DELETE

    @property
    def finds(self) -> bool:
        """Whether its criteria name the resource that it changes; those of a create name one that it leaves alone."""
        return self.criteria is not None and self.interaction is not Interaction.CREATE

    @property
    def is_plain(self) -> bool:
        """Whether it is written as it is, whatever else is stored."""
        return self.criteria is None and self.patch is None and not self.links.conditional

    def asked_types(self) -> set[str]:
        """Return the resource types that the conditional references of the resource search in."""
        return {each.text.partition("?")[0] for each in self.links.conditional}


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a planned write. `version` is None where a deletion found nothing.

    `others` are further versions of one write: a conditional delete may find several resources.
    """

    status: int
    version: Version | None
    others: tuple[Version, ...] = ()


@dataclass
class Run:
    """One run of a set of writes; a conflict with another writer starts a new one, from the same plans.

    `writes` are the plans by their places, as far as they are resolved in this run.
    """

    unit: UnitOfWork
    service: Service
    access: Access
    writes: dict[int, PlannedWrite]
    done: dict[int, Done] = field(default_factory=dict)
    targets: dict[str, str] = field(default_factory=dict)
    matches: dict[str, str] = field(default_factory=dict)

    async def find(self, resource_type: str, criteria: Criteria, limit: int) -> list[ResourceKey]:
        """Return at most `limit` resources that the caller sees and that meet the criteria."""
        return await self.service.searcher.find(self.unit.driver, resource_type, criteria, self.access, limit)


@contextmanager
def as_entry(entry: int | None) -> Iterator[None]:
    """Name the entry of a bundle in whatever is raised, what is transient aside; without a bundle do nothing."""
    try:
        yield
    except TRANSIENT:
        raise
    except (RequestError, StorageError) as error:
        if entry is None or isinstance(error, EntryFailed):
            raise
        raise EntryFailed(entry, error) from error

"""Provenance of versions by id, and of the versions that a page shows (`_revinclude=Provenance:target`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from fhir_server.fhir.provenance.resource import provenance
from fhir_server.fhir.service import Service
from storage.access import Access, Reach, Right
from storage.errors import ResourceNotFound
from storage.history.instance import HistoryQuery
from storage.provenance import ProvenanceReader, is_rendered, parse_provenance_id
from storage.resources import Version
from storage.search.lower import reach_of
from storage.search.page import Page
from storage.search.query import Include

PROVENANCE: Final = "Provenance"


async def provenances(versions: Sequence[Version], access: Access, service: Service) -> list[Version]:
    """Return the Provenance of versions that the caller may see, in their order.

    Each carries the body of its target beside its own: the audit names whom that is about.
    """
    reader = ProvenanceReader(service.store.database, access)
    found = await reader.authorships(versions)
    if not found:
        return []
    known = await reader.known(found)
    bodies = {(version.key, version.version): version.body for version in versions}
    return [replace(provenance(each, known), superseded=bodies[each.key, each.version]) for each in found]


async def read_provenance(resource_id: str, access: Access, service: Service) -> Version | None:
    """Return the Provenance of the version that an id names; None where the caller sees no such version.

    The caller may read Provenance: who asks has checked that.
    """
    named = parse_provenance_id(resource_id)
    if named is None:
        return None
    self_key, number = named
    key = await ProvenanceReader(service.store.database, access).key_of(self_key)
    if key is None or access.reach(key.resource_type, Right.READ) is Reach.NONE:
        return None
    try:
        page = await service.store.history(key, HistoryQuery(count=1, before=number + 1), access)
    except ResourceNotFound:
        return None
    target = next((version for version in page.versions if version.version == number), None)
    made = await provenances([target], access, service) if target is not None else []
    return made[0] if made else None


async def included_provenances(
    page: Page, includes: Iterable[Include], access: Access, service: Service
) -> list[Version]:
    """Return the Provenance of the versions on a page for which `includes` ask; nothing where it is out of reach."""
    asked = [include for include in includes if include.reverse and include.source == PROVENANCE]
    if not asked or not reach_of(access, PROVENANCE).is_unfiltered:
        return []
    shown = [version for version in page.matches if _leads(version, asked)]
    iterating = [include for include in asked if include.iterate]
    shown += [version for version in page.includes if _leads(version, iterating)]
    there = {version.key for version in (*page.matches, *page.includes)}
    made = await provenances(shown, access, service)
    return [version for version in made if version.key not in there]


def _leads(version: Version, includes: Iterable[Include]) -> bool:
    """Say whether one of the includes asks for what has this version as its target."""
    if is_rendered(version.key):
        return False
    for include in includes:
        if include.target not in {None, version.key.resource_type}:
            continue
        code = include.parameter.code if include.parameter is not None else "target"
        if code == "target" or (code == "patient" and version.key.resource_type == "Patient"):
            return True
    return False

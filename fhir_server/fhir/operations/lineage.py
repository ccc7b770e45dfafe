"""$lineage, an operation of our own: where each element of a resource comes from, and since which version.

For every leaf of the current version: the column and row that show it, or that it came through FHIR and no column has
room for it, or that the mapper adds it; and the latest version in which it differed from the version before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from capability.roles import roles
from fhir_server.fhir.json_body import encode_json
from fhir_server.fhir.operations.parameters import operation_parameters
from fhir_server.fhir.request import FhirRequest
from fhir_server.fhir.response import Response, Touched, patients_of
from fhir_server.fhir.service import Service
from fhir_server.fhir.trail import change_of
from mappers.json_values import ABSENT, Json, same
from storage.access import Access
from storage.codec import decode
from storage.history.instance import HistoryQuery
from storage.projection.lineage import Lineage, Source, SourceKind, lineage_of, own_leaves
from storage.reading import UnitReader
from storage.resources import Stored, Version

CHUNK: Final = 100
MOST_VERSIONS: Final = 1_000
"""How far back versions are compared; what did not change since is told without a version."""


async def lineage(request: FhirRequest, service: Service) -> Response:
    """Answer with Parameters: one `element` for each leaf of the current version.

    Callers who see their own record only are not told the names of tables, columns and mappers.
    """
    await operation_parameters(request, service.settings.max_body_bytes)
    access, key = request.access, request.route.key
    found = await _lineage(request, service)
    versions = await _versions(found.stored, access, service)
    internal = not roles()[access.role].own
    elements = [_element(path, source, versions.get(path), found, internal) for path, source in found.sources.items()]
    about = [{"name": "resource", "valueUri": f"{key}/_history/{found.stored.version}"}]
    body = encode_json({"resourceType": "Parameters", "parameter": [*about, *elements]})
    shown = Version(key, found.stored.version, found.stored.last_updated, deleted=False, body=found.stored.body)
    return Response(200, body, touched=Touched(key.resource_type, (key.id,), patients_of((shown,))))


async def _lineage(request: FhirRequest, service: Service) -> Lineage:
    """Return the lineage as the request's unit of work sees it, where it is part of one."""
    reader = service.store.database
    if isinstance(reader, UnitReader):
        return await lineage_of(reader.unit, request.route.key, request.access)
    async with service.database.begin(request.access.organization_id, change_of(request)) as unit:
        return await lineage_of(unit, request.route.key, request.access)


def _element(path: str, source: Source, version: int | None, found: Lineage, internal: bool) -> dict[str, Any]:
    parts: list[dict[str, Any]] = [
        {"name": "path", "valueString": path},
        {"name": "source", "valueCode": source.kind.value},
    ]
    if internal and found.home is not None:
        parts.append({"name": "table", "valueString": found.home.table})
        parts.append({"name": "row", "valueString": found.home.key})
        if source.kind is SourceKind.COLUMN:
            parts += [{"name": "column", "valueString": column} for column in source.columns]
        parts.append({"name": "mapper", "valueString": found.mapper})
    if version is not None:
        parts.append({"name": "version", "valueId": str(version)})
    return {"name": "element", "part": parts}


async def _versions(stored: Stored, access: Access, service: Service) -> dict[str, int]:
    """Return the latest version in which each leaf differed from the one before, where the caller sees both."""
    pending = own_leaves(stored.resource())
    found: dict[str, int] = {}
    number, compared = stored.version, 0
    before: int | None = stored.version
    while pending and before is not None and compared < MOST_VERSIONS:
        page = await service.store.history(stored.key, HistoryQuery(count=CHUNK, before=before), access)
        for version in page.versions:
            if version.version != number - 1:  # one between them is not kept, or not the caller's to see
                return found
            leaves = _leaves_of(version)
            changed = [path for path, value in pending.items() if not same(leaves.get(path, ABSENT), value)]
            found.update((path, number) for path in changed)
            for path in changed:
                del pending[path]
            number = version.version
        compared += len(page.versions)
        before = page.next_before
    if number == 1:
        found.update(dict.fromkeys(pending, 1))
    return found


def _leaves_of(version: Version) -> Mapping[str, Json]:
    return {} if version.deleted else own_leaves(decode(version.body))

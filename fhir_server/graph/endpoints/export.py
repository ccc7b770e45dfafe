"""The whole record of one person, as one JSON document that `fhir-server load` takes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from fastapi import APIRouter, Response
from starlette.responses import StreamingResponse

from capability.roles import GraphAction
from fhir_server.fhir.json_body import encode_json
from fhir_server.graph.call import Call
from fhir_server.graph.envelope import MEDIA_TYPE
from fhir_server.graph.errors import NotFound
from fhir_server.graph.models.common import Success, answers
from fhir_server.graph.models.export import Export
from fhir_server.graph.parameters import ACall, RowId
from fhir_server.graph.route import GraphRoute
from fhir_server.graph.rules import Owner, guarded
from fhir_server.graph.wire import HIDDEN, instant, json_value, member_name
from storage.persons.merges import person_of
from storage.repositories.person_export import STREAMED, Row, core_of, pieces_of, streamed_count
from storage.repositories.profiles import ProfileRepository

router = APIRouter(prefix="/profiles", tags=["Profiles"], route_class=GraphRoute)
REMARKS: Final = {"wearable_data": "_wearable_data"}
"""Table → what it is called here, because nothing is loaded into it any more."""
FILE: Final = {"Content-Disposition": 'attachment; filename="profile-export.json"'}


@router.get("/{id}/export", responses=answers(Success[Export], errors=(404,)))
@guarded("profile", GraphAction.EXPORT, Owner.PATH)
async def export_profile(call: ACall, row_id: RowId) -> Response:
    """Export one person's record: the profile, those merged with it, and all rows about them.

    Callers who are bound to one customer get the rows of that one alone. The export is on record before its first byte
    leaves; one that breaks off is no JSON.
    """
    async with call.service.database.glance(call.organization_id) as snapshot:
        own = (ProfileRepository.table_name, row_id)
        # as in FHIR, no reach leads into another patient's rows (security AZ-9)
        records = [own] if call.is_bound else await person_of(snapshot, *own)
        customers = [key for table, key in records if table == ProfileRepository.table_name]
        core = await core_of(snapshot, customers)
        count = await streamed_count(snapshot, customers) + sum(map(len, core.values()))
    if not any(row["id"] == row_id for row in core[ProfileRepository.table_name]):
        call.touched((row_id,))
        raise NotFound("Profile")
    call.touched(customers, customers, count)
    exported = {"customerId": row_id, "exportedAt": instant(datetime.fromtimestamp(call.service.now(), UTC))}
    about = {"_export": exported, "_records": [{"table": str(table), "id": key} for table, key in records]}
    return StreamingResponse(_document(call, about, customers, core), media_type=MEDIA_TYPE, headers=FILE)


async def _document(
    call: Call, about: Mapping[str, Any], customers: Sequence[str], core: Mapping[str, Sequence[Row]]
) -> AsyncIterator[bytes]:
    """Yield the document piece by piece; the counts come last."""
    yield b'{"success":true,"data":' + encode_json(about)[:-1]
    counts = {}
    for table, rows in core.items():
        yield _opening(table) + _rows(rows) + b"]"
        counts[_name(table)] = len(rows)
    for table in STREAMED:
        yield _opening(table)
        counts[_name(table)] = 0
        async for rows in pieces_of(call.service.database, call.organization_id, table, customers):
            yield (b"," if counts[_name(table)] else b"") + _rows(rows)
            counts[_name(table)] += len(rows)
        yield b"]"
    yield b',"_counts":' + encode_json(counts) + b"}}"


def _name(table: str) -> str:
    return REMARKS.get(table, table)


def _opening(table: str) -> bytes:
    return b"," + encode_json(_name(table)) + b":["


def _rows(rows: Sequence[Row]) -> bytes:
    return b",".join(encode_json(_shown(row)) for row in rows)


def _shown(row: Row) -> dict[str, Any]:
    """Return a row as JSON, under the names of the internal APIs."""
    return {member_name(name): json_value(value) for name, value in row.items() if name not in HIDDEN}

"""Who is the same person: pairs of records to review, merges and their end (docs/identity.md)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Query, Response

from capability.roles import GraphAction
from fhir_server.graph.call import Call
from fhir_server.graph.envelope import page, success
from fhir_server.graph.errors import Conflict, NotFound
from fhir_server.graph.models.common import Listed, Success, answers
from fhir_server.graph.models.identity import (
    Decision,
    IdentityMatch,
    IdentityMerge,
    MergePair,
    NewMerge,
)
from fhir_server.graph.parameters import ACall, RowId
from fhir_server.graph.route import GraphRoute
from fhir_server.graph.rules import Owner, guarded
from fhir_server.graph.windows import PageWindow
from fhir_server.graph.wire import shown
from storage.errors import ResourceNotFound
from storage.persons.errors import AlreadyMerged, MergeRefused, NotOpen
from storage.persons.matches import Match, MatchQueue
from storage.persons.merges import Merge, Merges, merge_match, merge_records, reject_match, unmerge
from storage.tables.enums import MatchOutcome, MatchStatus
from storage.transaction import UnitOfWork

router = APIRouter(prefix="/identity", tags=["Identity"], route_class=GraphRoute)
T = TypeVar("T")

READ = GraphAction.READ
WRITE = GraphAction.WRITE
PAIR = "Pair"
MERGE = "Merge"


def shown_match(match: Match) -> dict[str, Any]:
    """Return a pair as the API shows it."""
    first, second = map(_record, match.records)
    names = ("first_table", "first_id", "second_table", "second_id")
    return {"id": match.id, "first": first, "second": second, **shown(match, without=("id", *names))}


def shown_merge(merge: Merge) -> dict[str, Any]:
    """Return a merge as the API shows it."""
    records = {"survivor": _record(merge.survivor), "merged": _record(merge.merged)}
    names = ("surviving_table", "surviving_id", "merged_table", "merged_id")
    return {"id": merge.id, **records, **shown(merge, without=("id", *names))}


def _record(record: tuple[str, str]) -> dict[str, str]:
    table, key = record
    return {"table": table, "id": key}


@router.get("/matches", responses=answers(Listed[IdentityMatch]))
@guarded("profile", READ, Owner.NOBODY)
async def list_matches(
    call: ACall,
    window: PageWindow,
    status: Annotated[MatchStatus | None, Query(description="Only pairs that are open, merged, …")] = None,
    outcome: Annotated[MatchOutcome | None, Query(description="Only pairs of which this is said")] = None,
) -> Response:
    """List pairs of records that may be the same person's, the oldest first."""
    async with call.service.database.glance(call.organization_id) as snapshot:
        found = await MatchQueue(snapshot).page(status=status, outcome=outcome, window=window)
    _touched(call, found.rows, found.total)
    return page(found, shown_match)


@router.get("/matches/{id}", responses=answers(Success[IdentityMatch], errors=(404,)))
@guarded("profile", READ, Owner.NOBODY)
async def get_match(call: ACall, row_id: RowId) -> Response:
    """Return one pair with all that speaks for it and against it."""
    async with call.service.database.glance(call.organization_id) as snapshot:
        match = await _known(PAIR, MatchQueue(snapshot).find(row_id))
    _touched(call, [match])
    return success(shown_match(match))


@router.post("/matches/{id}/merge", status_code=201, responses=answers(Success[IdentityMerge], 201, errors=(404, 409)))
@guarded("profile", WRITE, Owner.NOBODY)
async def merge_a_match(call: ACall, row_id: RowId, sent: MergePair) -> Response:
    """Let one record of a pair stand for both."""
    actor = call.caller.subject
    return await _merged(call, lambda unit: merge_match(unit, row_id, sent.survivor_id, actor, sent.reason), 201)


@router.post("/matches/{id}/reject", responses=answers(Success[IdentityMatch], errors=(404, 409)))
@guarded("profile", WRITE, Owner.NOBODY)
async def reject_a_match(call: ACall, row_id: RowId, sent: Decision) -> Response:
    """Say that the records of a pair are two persons'; it is not proposed again."""

    async def work(unit: UnitOfWork) -> Match:
        match = await _known(PAIR, reject_match(unit, row_id, call.caller.subject, sent.reason))
        _touched(call, [match])
        return match

    return success(shown_match(await call.write(work)))


@router.get("/merges", responses=answers(Listed[IdentityMerge]))
@guarded("profile", READ, Owner.NOBODY)
async def list_merges(
    call: ACall,
    window: PageWindow,
    ended: Annotated[bool | None, Query(description="Only merges that have ended, or that are in force")] = None,
) -> Response:
    """List merges, the newest first."""
    async with call.service.database.glance(call.organization_id) as snapshot:
        found = await Merges(snapshot).page(ended=ended, window=window)
    _touched(call, found.rows, found.total)
    return page(found, shown_merge)


@router.post("/merges", status_code=201, responses=answers(Success[IdentityMerge], 201, errors=(404, 409)))
@guarded("profile", WRITE, Owner.NOBODY)
async def merge_by_hand(call: ACall, sent: NewMerge) -> Response:
    """Let one record stand for another that nobody proposed it with. Nothing is moved: each keeps its own rows."""
    survivor, merged = ((each.table.value, each.id) for each in (sent.survivor, sent.merged))
    actor = call.caller.subject
    return await _merged(call, lambda unit: merge_records(unit, survivor, merged, actor, sent.reason), 201)


@router.post("/merges/{id}/unmerge", responses=answers(Success[IdentityMerge], errors=(404, 409)))
@guarded("profile", WRITE, Owner.NOBODY)
async def end_a_merge(call: ACall, row_id: RowId, sent: Decision) -> Response:
    """End a merge: both records are again what they were."""
    return await _merged(call, lambda unit: unmerge(unit, row_id, call.caller.subject, sent.reason), 200, MERGE)


async def _merged(
    call: Call, decide: Callable[[UnitOfWork], Awaitable[Merge]], status: int, what: str = PAIR
) -> Response:
    async def work(unit: UnitOfWork) -> Merge:
        merge = await _known(what, decide(unit))
        _touched(call, [merge])
        return merge

    return success(shown_merge(await call.write(work, status)), status)


async def _known(what: str, found: Awaitable[T]) -> T:
    """Return what was found or done; raises NotFound and Conflict."""
    try:
        return await found
    except ResourceNotFound as missing:
        raise NotFound(what if missing.resource_type.startswith("identity_") else "Record") from None
    except AlreadyMerged as refused:
        raise Conflict(_sentence(refused), {"mergedInto": _record(refused.into)}) from None
    except NotOpen as refused:
        raise Conflict(_sentence(refused), {"status": refused.status}) from None
    except MergeRefused as refused:
        raise Conflict(_sentence(refused)) from None


def _sentence(refused: MergeRefused) -> str:
    words = str(refused)
    return f"{words[:1].upper()}{words[1:]}."


def _touched(call: Call, found: Iterable[Match | Merge], total: int | None = None) -> None:
    """Note both persons of each pair or merge, and which it was."""
    rows = list(found)
    records = [each.records if isinstance(each, Match) else (each.survivor, each.merged) for each in rows]
    call.touched((key for pair in records for _, key in pair), (each.id for each in rows), total)

"""What the `identity` commands do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from fhir_server.cli.installation import OPERATOR, Act, Installation
from fhir_server.cli.output import CommandFailed
from storage.errors import ResourceNotFound
from storage.persons.errors import AlreadyMerged, MergeRefused
from storage.persons.matches import Match, MatchQueue
from storage.persons.merges import Merge, Merges, merge_records, unmerge
from storage.persons.search import exact_duplicates, search_all, write_search
from storage.projection.person_records import PERSON_TABLES, Record
from storage.repositories.table import Window
from storage.tables.enums import MatchOutcome, MatchStatus
from storage.transaction import Snapshot

PROFILE: Final = "profile"
READ: Final = "read"
WRITE: Final = "write"


async def find_pairs(
    installation: Installation, organization_id: str | None, *, merge_certain: bool = False
) -> dict[str, Any]:
    """Compare all records of an organization; return how many there are, and what is said of how many pairs."""
    organization = (await installation.organization(organization_id)).id
    found = await search_all(installation.database, organization)
    async with installation.acting(organization, Act(PROFILE, WRITE, "identity-find")) as unit:
        gone = await write_search(unit, found)
    outcomes = Counter(said.outcome.value for said in found.verdicts.values())
    merged = await _merge_certain(installation, organization) if merge_certain else 0
    return {
        "organization": organization,
        "records": found.records,
        "compared": found.compared,
        "certain": outcomes[MatchOutcome.CERTAIN],
        "possible": outcomes[MatchOutcome.POSSIBLE],
        "taken_back": len(gone),
        "too_common": found.passed_over,
        "merged": merged,
    }


async def _merge_certain(installation: Installation, organization: str) -> int:
    """Merge duplicates one by one, each with a record of its own; returns how many."""
    async with installation.database.glance(organization) as snapshot:
        pairs = await exact_duplicates(snapshot)
    merged = 0
    for survivor, other in pairs:
        act = Act(PROFILE, WRITE, "identity-merge", [survivor[1], other[1]])
        with suppress(AlreadyMerged):  # by a pair before: what is left of it is for somebody's eyes
            async with installation.acting(organization, act) as unit:
                await merge_records(unit, survivor, other, OPERATOR, "the same exact identifier")
            merged += 1
    return merged


async def list_pairs(
    installation: Installation, organization_id: str | None, status: str, outcome: str, limit: int
) -> list[dict[str, Any]]:
    """Return pairs; raises CommandFailed for a status or an outcome that there is not."""
    for value, known in ((status, MatchStatus), (outcome, MatchOutcome)):
        if value and value not in set(known):
            raise CommandFailed(f"{value} is none of: {', '.join(known)}.")
    organization = (await installation.organization(organization_id)).id

    async with installation.database.glance(organization) as snapshot:
        found = await MatchQueue(snapshot).page(status=status or None, outcome=outcome or None, window=Window(limit))
    await _on_record(installation, organization, "identity-list", [key for each in found.rows for key in _keys(each)])
    return [_pair_facts(each) for each in found.rows]


async def list_merges(installation: Installation, organization_id: str | None, limit: int) -> list[dict[str, Any]]:
    """Return merges, those that have ended included."""
    organization = (await installation.organization(organization_id)).id
    async with installation.database.glance(organization) as snapshot:
        found = await _merges(snapshot, limit)
    ids = [key for each in found for _, key in (each.survivor, each.merged)]
    await _on_record(installation, organization, "identity-merges", ids)
    return [_merge_facts(each) for each in found]


async def _merges(snapshot: Snapshot, limit: int) -> Sequence[Merge]:
    return (await Merges(snapshot).page(window=Window(limit))).rows


async def merge_two(
    installation: Installation, organization_id: str | None, survivor: str, merged: str, reason: str
) -> dict[str, Any]:
    """Merge two records, given as table/id; raises CommandFailed."""
    organization = (await installation.organization(organization_id)).id
    one, other = _record(survivor), _record(merged)
    try:
        act = Act(PROFILE, WRITE, "identity-merge", [one[1], other[1]])
        async with installation.acting(organization, act) as unit:
            made = await merge_records(unit, one, other, OPERATOR, reason)
    except ResourceNotFound as missing:
        raise CommandFailed(f"There is no {missing.resource_type}/{missing.resource_id}.") from None
    except MergeRefused as refused:
        raise CommandFailed(f"Not merged: {refused}.") from None
    return _merge_facts(made)


async def end_merge(
    installation: Installation, organization_id: str | None, merge_id: str, reason: str
) -> dict[str, Any]:
    """End a merge; raises CommandFailed."""
    organization = (await installation.organization(organization_id)).id
    try:
        async with installation.database.glance(organization) as snapshot:
            known = await Merges(snapshot).find(merge_id)
        act = Act(PROFILE, WRITE, "identity-unmerge", [known.surviving_id, known.merged_id])
        async with installation.acting(organization, act) as unit:
            ended = await unmerge(unit, merge_id, OPERATOR, reason)
    except ResourceNotFound:
        raise CommandFailed(f"There is no merge {merge_id}; `fhir-server identity merges` lists them.") from None
    except MergeRefused as refused:
        raise CommandFailed(f"Not ended: {refused}.") from None
    return _merge_facts(ended)


async def _on_record(installation: Installation, organization: str, interaction: str, ids: Sequence[str]) -> None:
    async with installation.acting(organization, Act(PROFILE, READ, interaction, list(dict.fromkeys(ids)))):
        pass  # the record is all there is to write


def _record(text: str) -> Record:
    table, slash, key = text.partition("/")
    if table not in PERSON_TABLES or not slash or not key:
        raise CommandFailed(
            f"Write a record as table/id, with one of the tables {', '.join(PERSON_TABLES)}; not {text}."
        )
    return table, key


def _keys(match: Match) -> tuple[str, str]:
    return match.first_id, match.second_id


def _pair_facts(match: Match) -> dict[str, Any]:
    first, second = map("/".join, match.records)
    return {
        "id": match.id,
        "first": first,
        "second": second,
        "outcome": match.outcome,
        "score": match.score,
        "status": match.status,
        "because": match.evidence.get("because") if isinstance(match.evidence, dict) else None,
        "evidence": match.evidence,
        "reviewed_by": match.reviewed_by,
        "reason": match.reason,
    }


def _merge_facts(merge: Merge) -> dict[str, Any]:
    return {
        "id": merge.id,
        "survivor": "/".join(merge.survivor),
        "merged": "/".join(merge.merged),
        "merged_at": merge.merged_at,
        "merged_by": merge.merged_by,
        "reason": merge.reason,
        "unmerged_at": merge.unmerged_at,
        "unmerged_by": merge.unmerged_by,
        "unmerge_reason": merge.unmerge_reason,
    }

"""Pairs of records and merges as they are sent and shown."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from fhir_server.graph.models.common import MOST_MEMBERS, Key, Number, Sent, Shown, Text, at_most
from storage.tables.enums import MatchOutcome, MatchStatus

FIRST: dict[str, Any] = {"table": "customer_profiles", "id": "123e4567-e89b-12d3-a456-426614174000"}
SECOND: dict[str, Any] = {"table": "patients", "id": "987e6543-e21b-42d3-a456-426614174000"}
EVIDENCE: dict[str, Any] = {
    "because": "not certain whatever the score: birth date",
    "identifiers": [],
    "comparisons": [
        {"trait": "family name", "agreement": "the same", "weight": 7.6},
        {"trait": "birth date", "agreement": "day and month exchanged", "weight": 5},
    ],
}
MATCH: dict[str, Any] = {
    "id": "5b0f6a0e-1d8e-4c39-9f7e-1f4f7f7d8a01",
    "first": FIRST,
    "second": SECOND,
    "outcome": "possible",
    "score": 24.1,
    "evidence": EVIDENCE,
    "status": "open",
    "reviewedAt": None,
    "reviewedBy": None,
    "reason": None,
    "createdAt": "2026-03-20T19:45:00Z",
    "updatedAt": "2026-03-20T19:45:00Z",
}
MERGE: dict[str, Any] = {
    "id": "0d5c3a52-6a1f-4f0d-8d58-0a9d8f3a7b02",
    "survivor": FIRST,
    "merged": SECOND,
    "matchId": MATCH["id"],
    "evidence": EVIDENCE,
    "mergedAt": "2026-03-21T08:00:00Z",
    "mergedBy": "user_staff",
    "reason": "Same person, birth date mistyped",
    "unmergedAt": None,
    "unmergedBy": None,
    "unmergeReason": None,
}


class PersonTable(StrEnum):
    """Where a person's record is: patient graph, care platform, health hub."""

    CUSTOMER = "customer_profiles"
    PATIENT = "patients"
    PROFILE = "profiles"


class PersonRecord(Shown):
    """A record of a person in one of the three systems."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra={"examples": [FIRST]})

    table: PersonTable = Field(description="Of which system: patient graph, care platform or health hub")
    id: Key


Named = Annotated[PersonRecord, at_most(MOST_MEMBERS)]
"""A record as it is sent."""


class MergePair(Sent):
    """Which record of a pair stands for both from now on."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"survivorId": FIRST["id"], "reason": "Same person, birth date mistyped"}]}
    )

    survivor_id: Key = Field(description="Id of one of the two; `table/id` where both have the same id")
    reason: Text | None = None


class NewMerge(Sent):
    """Two records to be merged that nobody proposed."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"survivor": FIRST, "merged": SECOND, "reason": "Shown their passport"}]}
    )

    survivor: Named
    merged: Named
    reason: Text | None = None


class Decision(Sent):
    """Why somebody decides so."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "Sisters"}]})

    reason: Text | None = None


class IdentityMatch(Shown):
    """Two records that may be the same person's, and why."""

    model_config = ConfigDict(json_schema_extra={"examples": [MATCH]})

    id: str
    first: PersonRecord
    second: PersonRecord
    outcome: MatchOutcome
    score: Number
    evidence: dict[str, Any] = Field(description="Each comparison with its agreement and weight; no values")
    status: MatchStatus
    reviewed_at: datetime | None
    reviewed_by: str | None
    reason: str | None
    created_at: datetime
    updated_at: datetime


class IdentityMerge(Shown):
    """One record that stands for another; with `unmergedAt` it did until then."""

    model_config = ConfigDict(json_schema_extra={"examples": [MERGE]})

    id: str
    survivor: PersonRecord
    merged: PersonRecord
    match_id: str | None
    evidence: dict[str, Any]
    merged_at: datetime
    merged_by: str
    reason: str | None
    unmerged_at: datetime | None
    unmerged_by: str | None
    unmerge_reason: str | None

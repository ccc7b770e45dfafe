"""Rows of `graph/health_hub.json` and what is known of its records, where there is sample data."""

from __future__ import annotations

import functools
from dataclasses import dataclass, fields
from typing import Any, get_type_hints

from mappers.hub_rows import CleanRecord, EmrConnection, Profile
from mappers.json_values import Json, decode
from mappers.lookups import EmrRecord, Lookups
from tests.mappers.samples import DATA, column

HUB = "health-hub"


@dataclass(frozen=True)
class HubSample:
    """The mapped rows of the file, and the look-ups that they take."""

    profiles: tuple[Profile, ...]
    clean: tuple[CleanRecord, ...]
    lookups: Lookups


def _row(row_type: type, values: dict[str, Json], **more: Any) -> Any:
    hints = get_type_hints(row_type)
    names = {each.name for each in fields(row_type)} & set(values)
    return row_type(organization_id=HUB, **{name: column(hints[name], values[name]) for name in names}, **more)


@functools.cache
def hub_sample() -> HubSample:
    """The rows of the file; tokens are no part of any."""
    tables = decode((DATA / "graph" / "health_hub.json").read_bytes())
    connections = [_row(EmrConnection, values) for values in tables["profile_emr_connections"]]
    profiles = tuple(
        _row(
            Profile,
            values,
            profile_emr_connections=tuple(each for each in connections if each.profile_id == values["id"]),
        )
        for values in tables["profiles"]
    )
    clean = tuple(_row(CleanRecord, values) for values in tables["profile_fhir_resources_clean"])
    made_of = {source["raw_id"]: row.id for row in clean for source in row.sources}
    raw = tables["profile_fhir_resources_raw"]
    lookups = Lookups(
        organization_id=HUB,
        organization_name="Health Hub",
        rows={("profiles", HUB, profile.id): profile for profile in profiles},
        emr_records={
            each["id"]: EmrRecord(
                each["provider"],
                each["resource_type"],
                each["resource_id"],
                (made_of[each["id"]],) if each["id"] in made_of else (),
            )
            for each in raw
        },
        emr_ids={
            (each["profile_id"], each["provider"], each["resource_type"], each["resource_id"]): each["id"]
            for each in raw
        },
    )
    return HubSample(profiles, clean, lookups)


def raw_documents() -> list[dict[str, Json]]:
    """What the providers of the file sent, as rows of `profile_fhir_resources_raw` have it."""
    tables: dict[str, list[dict[str, Json]]] = decode((DATA / "graph" / "health_hub.json").read_bytes())
    return tables["profile_fhir_resources_raw"]

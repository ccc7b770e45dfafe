"""Any resource type, and Provenance ⇄ `profile_fhir_resources_clean` (mapping.md, health_hub.md).

A clean record is a whole resource in one column, so one declaration stands for every type. It is read-only: what is
clean follows from what providers sent, and a change made here would be lost with the next synchronisation.

Its `sources` are a Provenance of their own. They are facts of the row and not of a version (who wrote that, settled
§1.15, is rendered on read), so they are projected with it: searched, included and deleted like the record itself. The
person is a target as well as the record: the patient compartment knows a Provenance by its target alone, and the one
who may read the record may know where it comes from.
"""

from __future__ import annotations

from typing import Any, Final

from mappers import isos, systems
from mappers.emr_references import CLEAN_TABLE, References, Source, record_reference, sources_of
from mappers.fields import Context, Field, derived, profile
from mappers.hub_rows import CleanRecord
from mappers.json_values import ABSENT, Absent, Json
from mappers.lens import SERVER_META, ResourceMapper, Shows, Split
from mappers.lookups import EMR_RECORDS, Lookups
from mappers.nodes import Node
from mappers.paths import ROOT
from mappers.person import TENANT_NAME

ENDPOINT: Final = "/hub/profiles/{id}/sync"
_RECORDS: Final = Shows("profile_id", "profile_emr_records", by=EMR_RECORDS)
"""A record that is gathered later may be what another one refers to."""
_CONNECTIONS: Final = Shows("profile_id", "profiles", uses=("profile_emr_connections",))


def resource_type_of(row: CleanRecord) -> str:
    """Return the type of a clean record; raises ValueError where the column and the document disagree."""
    document = row.clean_json
    if not isinstance(document, dict) or document.get("resourceType") != row.resource_type:
        raise ValueError("clean_json is no resource of resource_type")
    return row.resource_type


def _is_shown(row: CleanRecord) -> bool:
    """Whether the record is a resource of its own: the person is the Patient of `profiles`, and there is one only."""
    return resource_type_of(row) != "Patient"


def _resource(values: tuple[Any, ...], context: Context) -> tuple[Node]:
    """Show the document without the other server's id and version, and its references as they are to be read here."""
    row: CleanRecord = context.view
    document = {key: value for key, value in values[0].items() if key not in {"resourceType", "id", "meta"}}
    shown = References(row, sources_of(row), context.lookups).rewritten(document)
    meta = values[0].get("meta")
    kept = {key: value for key, value in meta.items() if key not in SERVER_META} if isinstance(meta, dict) else {}
    return ({"meta": kept, **shown} if kept else shown,)


CLEAN_RECORD: Final = ResourceMapper(
    "Resource",
    table=CLEAN_TABLE,
    name="clean_record",
    row_type=CleanRecord,
    type_of=resource_type_of,
    applies=_is_shown,
    read_only=True,
    internal_endpoint=ENDPOINT,
    about="Resources of any type but Patient, as `resource_type` says; the person is the Patient of `profiles`.",
    shows=(_RECORDS, _CONNECTIONS),
    fields=(
        Field(
            ("clean_json", "resource_type", "sources", "profile_id"),
            (ROOT,),
            _resource,
            sources=(("clean_json", "sources"),),
            note="the whole resource; id and version are this server's, relative references as the sources say",
        ),
    ),
)


def _parts(row: CleanRecord, _: Lookups) -> tuple[str, ...]:
    return ("sources",) if sources_of(row) else ()


def _the_row(row: CleanRecord, _part: str) -> CleanRecord:
    return row


def _targets(values: tuple[Any, ...], context: Context) -> Node:
    key, resource_type, profile_id = values
    references = (
        context.lookups.reference(resource_type, CLEAN_TABLE, key),
        context.lookups.reference("Patient", "profiles", profile_id),
    )
    return [{"reference": reference} for reference in references]


def _recorded(values: tuple[Any, ...], _: Context) -> Node:
    return ABSENT if values[0] is None else isos.instant_text(values[0])


def _participant(system: str, code: str) -> Json:
    return {"coding": [{"system": system, "code": code}]}


def _agents(_values: tuple[Any, ...], context: Context) -> Node:
    """Name who put the record together, and each provider that sent something for it."""
    row: CleanRecord = context.view
    tenant = {"reference": context.lookups.reference("Organization", "organizations", row.organization_id)}
    if context.lookups.organization_name:
        tenant["display"] = context.lookups.organization_name
    assembler = {"type": _participant(systems.PROVENANCE_PARTICIPANT, "assembler"), "who": tenant}
    transmitter = _participant(systems.US_CORE_PROVENANCE_PARTICIPANT, "transmitter")
    providers = dict.fromkeys(source.provider for source in sources_of(row))
    senders = [{"type": transmitter, "who": {"display": name}} for name in providers if _says(name)]
    return [assembler, *senders]


def _entities(_values: tuple[Any, ...], context: Context) -> Node:
    row: CleanRecord = context.view
    records = context.lookups.emr_records
    return [_entity(source, record_reference(source, records)) for source in sources_of(row)] or ABSENT


def _entity(source: Source, what: Json) -> Json:
    return {"role": "source", "what": {**what, "display": source.provider} if _says(source.provider) else what}


def _says(text: str) -> bool:
    return not isinstance(isos.fhir_text(text), Absent)


CLEAN_SOURCES: Final = ResourceMapper(
    "Provenance",
    table=CLEAN_TABLE,
    name="clean_record_sources",
    row_type=CleanRecord,
    split=Split(_parts, _the_row),
    applies=_is_shown,
    read_only=True,
    internal_endpoint=ENDPOINT,
    about="Where a clean record comes from: one Provenance for each that names sources.",
    shows=(_RECORDS, TENANT_NAME),
    reads=("clean_json", "resource_type"),
    fields=(
        profile(f"{systems.US_CORE}us-core-provenance"),
        derived(("id", "resource_type", "profile_id"), "target", _targets, note="the record, and the person"),
        derived(("created_at",), "recorded", _recorded),
        derived(("organization_id", "sources"), "agent", _agents, note="who put it together, who sent it"),
        derived(("sources",), "entity", _entities, note="each source by the provider's id for it"),
    ),
)

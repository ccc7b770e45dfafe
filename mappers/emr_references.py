"""References in records of other servers: what `Condition/eX1` means here (health_hub.md, mapping.md).

A relative reference names a resource of the server that it was read from. Left as it is, it would name whatever
resource of this server happens to have that id, or none, and a patient's record would lead into somebody else's. So it
is rewritten to a resource of this server where the profile's own records say which one it is, and otherwise becomes a
logical reference: the provider's id as an identifier, the display as it was. Fragments and absolute URLs mean the same
everywhere and stay, but for those of this server itself: no provider knows whose record that is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from mappers import isos, systems
from mappers.hub_rows import CleanRecord, Profile
from mappers.json_values import Json
from mappers.lookups import EmrRecord, Lookups

CLEAN_TABLE: Final = "profile_fhir_resources_clean"
_RELATIVE: Final = re.compile(r"([A-Z][A-Za-z]+)/([A-Za-z0-9\-.]{1,64})(?:/_history/[A-Za-z0-9\-.]{1,64})?")
_ABSOLUTE: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:")


@dataclass(frozen=True, slots=True)
class Source:
    """One entry of `sources`: the provider, and the key of a row of `profile_fhir_resources_raw`."""

    provider: str
    raw_id: str


def sources_of(row: CleanRecord) -> tuple[Source, ...]:
    """Return the sources of a clean record, those left out that name no provider or no raw record."""
    entries = row.sources if isinstance(row.sources, list) else []
    named = [(entry.get("provider"), entry.get("raw_id")) for entry in entries if isinstance(entry, dict)]
    return tuple(
        Source(provider, raw_id)
        for provider, raw_id in dict.fromkeys((p, r) for p, r in named if isinstance(p, str) and isinstance(r, str))
        if provider and raw_id
    )


def relative_references(value: Json) -> Iterator[tuple[str, str]]:
    """Yield (resource type, id) of every relative reference in a document, attachments' URLs included."""
    if isinstance(value, dict):
        for member in ("reference", "url"):
            match = _RELATIVE.fullmatch(value[member]) if isinstance(value.get(member), str) else None
            if match is not None:
                yield match[1], match[2]
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from relative_references(item)


@dataclass(frozen=True, slots=True)
class References:
    """What the references of one clean record mean."""

    row: CleanRecord
    sources: tuple[Source, ...]
    lookups: Lookups

    def rewritten(self, value: Json) -> Json:
        """Return a document with every reference as it is to be read here."""
        if isinstance(value, list):
            return [self.rewritten(item) for item in value]
        if not isinstance(value, dict):
            return value
        out = {key: self.rewritten(item) for key, item in value.items()}
        if isinstance(value.get("reference"), str):
            out = self._reference(out)
        if isinstance(value.get("url"), str):
            out = self._attachment(out)
        return out

    def _reference(self, reference: dict[str, Json]) -> dict[str, Json]:
        literal = reference["reference"]
        if literal.startswith("#") or (_ABSOLUTE.match(literal) and not self._names_ours(literal)):
            return reference
        match = _RELATIVE.fullmatch(literal)
        ours = self._ours(match[1], match[2]) if match else None
        if ours is not None:
            return {**reference, "reference": ours}
        told = {key: item for key, item in reference.items() if key not in {"reference", "_reference"}}
        if match is None:
            return {"identifier": {"value": literal}, **told}
        return {"type": match[1], "identifier": self._identifier(match[1], match[2]), **told}

    def _names_ours(self, literal: str) -> bool:
        """Whether another server's document names a resource here by its address: it may be anybody's, so none is."""
        base = self.lookups.base_url
        return bool(base) and literal.startswith(f"{base}/")

    def _attachment(self, value: dict[str, Json]) -> dict[str, Json]:
        """An attachment's content may be a resource of the other server; elsewhere `url` is absolute."""
        match = _RELATIVE.fullmatch(value["url"])
        if match is None:
            return value
        ours = self._ours(match[1], match[2])
        if ours is not None:
            return {**value, "url": ours}
        rest = {key: item for key, item in value.items() if key != "url"}
        return {**rest, "_url": {"extension": [systems.data_absent()]}}

    def _identifier(self, resource_type: str, resource_id: str) -> dict[str, Json]:
        provider = self._writer()
        if provider is None:
            return {"value": resource_id}
        return {"system": systems.emr_record(provider, resource_type), "value": resource_id}

    def _providers(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(source.provider for source in self.sources))

    def _writer(self) -> str | None:
        """Return whose ids the document uses: of the source with its id, or of the only provider."""
        own = self.row.clean_json.get("id")
        for source in self.sources:
            record = self.lookups.emr_records.get(source.raw_id)
            if record is not None and record.resource_id == own and record.provider == source.provider:
                return source.provider
        providers = self._providers()
        return providers[0] if len(providers) == 1 else None

    def _ours(self, resource_type: str, resource_id: str) -> str | None:
        """Return the reference to this server's resource for a provider's; None where the sources do not tell it."""
        if resource_type == "Patient":
            is_own = any(self._is_own_patient(provider, resource_id) for provider in self._providers())
            return self.lookups.reference("Patient", "profiles", self.row.profile_id) if is_own else None
        writer = self._writer()
        for providers in ((writer,) if writer else (), self._providers()):
            keys = {key for provider in providers for key in self._clean(provider, resource_type, resource_id)}
            if len(keys) == 1:
                return self.lookups.reference(resource_type, CLEAN_TABLE, keys.pop())
        return None

    def _is_own_patient(self, provider: str, resource_id: str) -> bool:
        """Whether the id is the profile's at the provider.

        Once disconnected, the Patient that was read from there tells it: what was gathered stays the person's.
        """
        profile: Profile | None = self.lookups.row("profiles", self.row.profile_id)
        connections = profile.profile_emr_connections if profile else ()
        known = [each.patient_emr_id for each in connections if each.provider == provider]
        return resource_id in known if known else self._raw(provider, "Patient", resource_id) is not None

    def _raw(self, provider: str, resource_type: str, resource_id: str) -> EmrRecord | None:
        key = self.lookups.emr_ids.get((self.row.profile_id, provider, resource_type, resource_id))
        return None if key is None else self.lookups.emr_records.get(key)

    def _clean(self, provider: str, resource_type: str, resource_id: str) -> tuple[str, ...]:
        record = self._raw(provider, resource_type, resource_id)
        return record.clean if record is not None else ()


def record_reference(source: Source, records: Mapping[str, EmrRecord]) -> dict[str, Json]:
    """Return a logical reference to what a provider sent: its own id there, else the key of the raw record."""
    record = records.get(source.raw_id)
    if record is None or isos.fhir_text(record.resource_id) != record.resource_id:
        return {"identifier": {"system": systems.RAW_RECORD, "value": source.raw_id}}
    system = systems.emr_record(source.provider, record.resource_type)
    return {"type": record.resource_type, "identifier": {"system": system, "value": record.resource_id}}

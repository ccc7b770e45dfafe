"""Strategies for rows of the health hub, and what is known of the records that they come from."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from mappers.hub_rows import CleanRecord, EmrConnection, Profile
from mappers.lookups import EmrRecord
from tests.builders_values import ORGANIZATION, days, ids, instants, json_values, maybe, texts

PROFILE = "de451ebd-a592-5c92-a5bc-d57bd3cbb66a"
PROVIDERS = ("epic", "athena")


def connection(provider: str, patient_emr_id: str) -> EmrConnection:
    """A connection of the profile that references of generated records lead to."""
    return EmrConnection(f"connection-{provider}", ORGANIZATION, PROFILE, provider, patient_emr_id)


HUB_PROFILE = Profile(
    PROFILE,
    ORGANIZATION,
    "user-1",
    "Me",
    profile_emr_connections=(connection("epic", "erXuFY"), connection("athena", "a-1.E-41128")),
)

EMR_RECORDS = {
    "raw-1": EmrRecord("epic", "Observation", "fC7-hba1c", ("clean-1",)),
    "raw-2": EmrRecord("athena", "Observation", "a-1.lab-88120", ("clean-1",)),
    "raw-3": EmrRecord("epic", "Condition", "eCondHTN", ("clean-3",)),
    "raw-4": EmrRecord("epic", "Encounter", "eEnc0925"),
    "raw-5": EmrRecord("athena", "Condition", "eCondHTN", ("clean-5",)),
}
"""Raw records of the profile: `raw-4` is in no clean record, and two providers use one id for two conditions."""

HUB_LOOKUPS: dict[str, Any] = {
    "rows": {("profiles", ORGANIZATION, PROFILE): HUB_PROFILE},
    "emr_records": EMR_RECORDS,
    "emr_ids": {
        (PROFILE, record.provider, record.resource_type, record.resource_id): key for key, record in EMR_RECORDS.items()
    },
}

LITERALS = (
    "Patient/erXuFY",
    "Patient/a-1.E-41128",
    "Patient/somebody-else",
    "Observation/fC7-hba1c",
    "Observation/fC7-hba1c/_history/3",
    "Condition/eCondHTN",
    "Encounter/eEnc0925",
    "Practitioner/eM5CWtq15N0WJeuCet5bJlQ3",
    "https://elsewhere.example/fhir/Patient/1",
    "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0",
    "Practitioner?identifier=http://hl7.org/fhir/sid/us-npi|1234567893",
)
"""What a provider may write: the person, known and unknown records, and what is no relative reference."""

references = st.fixed_dictionaries(
    {"reference": st.sampled_from(LITERALS)}, optional={"display": st.just("Bianchi, Laura")}
)
_metas = st.fixed_dictionaries(
    {},
    optional={
        "versionId": st.just("7"),
        "lastUpdated": st.just("2025-09-25T18:44:03Z"),
        "profile": st.just(["http://hl7.org/fhir/us/core/StructureDefinition/us-core-observation-lab"]),
        "security": st.just([{"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}]),
    },
)


def _documents(resource_type: str, **optional: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    required = {
        "resourceType": st.just(resource_type),
        "id": st.sampled_from(["fC7-hba1c", "a-1.lab-88120", "eCondHTN", "eDoc1"]),
        "subject": references,
    }
    return st.fixed_dictionaries(required, optional={"meta": _metas, "encounter": references, **optional})


def _with(document: st.SearchStrategy[dict[str, Any]], **constants: Any) -> st.SearchStrategy[dict[str, Any]]:
    return document.map(lambda value: {**value, **constants})


documents = st.one_of(
    _with(
        _documents("Observation", performer=st.lists(references, min_size=1, max_size=2), specimen=references),
        status="final",
        code={"coding": [{"system": "http://loinc.org", "code": "4548-4"}]},
        valueQuantity={"value": Decimal("6.10"), "unit": "%"},
    ),
    _documents("Condition", recorder=references),
    _with(
        _documents("MedicationRequest", medicationReference=references),
        status="active",
        intent="order",
        contained=[{"resourceType": "Medication", "id": "m1", "code": {"text": "Lisinopril"}}],
    ).map(lambda value: {"medicationReference": {"reference": "#m1"}, **value}),
    _with(
        _documents("DocumentReference").map(lambda value: {k: v for k, v in value.items() if k != "encounter"}),
        status="current",
        content=[{"attachment": {"contentType": "application/pdf", "url": "Binary/eBin1"}}],
    ),
)
"""Records as providers write them."""

sources = st.one_of(
    st.lists(
        st.one_of(
            st.builds(
                lambda key: {"provider": EMR_RECORDS[key].provider, "raw_id": key}, st.sampled_from(sorted(EMR_RECORDS))
            ),
            st.fixed_dictionaries({"provider": texts, "raw_id": texts}),
            json_values,
        ),
        max_size=3,
    ),
    json_values,
)

clean_records = documents.flatmap(
    lambda document: st.builds(
        CleanRecord,
        id=ids,
        organization_id=st.just(ORGANIZATION),
        profile_id=st.just(PROFILE),
        resource_type=st.just(document["resourceType"]),
        clean_json=st.just(document),
        sources=sources,
        created_at=instants,
    )
)

emr_connections = st.builds(
    EmrConnection,
    id=ids,
    organization_id=st.just(ORGANIZATION),
    profile_id=st.just(PROFILE),
    provider=st.one_of(st.sampled_from(PROVIDERS), texts),
    patient_emr_id=st.one_of(st.just("erXuFY"), texts),
    status=st.sampled_from(["connected", "error"]),
)

profiles = st.builds(
    Profile,
    id=ids,
    organization_id=st.just(ORGANIZATION),
    user_id=ids,
    display_name=texts,
    legal_name=maybe(texts),
    dob=maybe(days),
    relationship=maybe(st.one_of(st.sampled_from(["self", "mother", "foster child"]), texts)),
    created_at=maybe(instants),
    profile_emr_connections=st.lists(emr_connections, max_size=2, unique_by=lambda row: row.provider).map(tuple),
)

HUB_ROWS: dict[str, st.SearchStrategy[Any]] = {
    "hub_profile": profiles,
    "clean_record": clean_records,
    "clean_record_sources": clean_records,
}

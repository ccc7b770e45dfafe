"""Clean records of the health hub as resources, and their sources as Provenance (mapping.md, health_hub.md)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import fhirkit
import pytest

from mappers import systems
from mappers.clean_records import CLEAN_RECORD, CLEAN_SOURCES
from mappers.hub_rows import CleanRecord
from mappers.json_values import encode, same
from mappers.lens import NotClaimed
from mappers.residual import NOTHING
from tests.builders import lookups
from tests.builders_hub import EMR_RECORDS, HUB_PROFILE, PROFILE
from tests.builders_values import ORGANIZATION
from tests.mappers.hub_samples import HUB, hub_sample, raw_documents
from tests.mappers.samples import needs_samples

HBA1C = {
    "resourceType": "Observation",
    "id": "fC7-hba1c",
    "meta": {"versionId": "9", "lastUpdated": "2025-09-25T18:44:03Z", "source": "https://epic.example"},
    "status": "final",
    "code": {"coding": [{"system": "http://loinc.org", "code": "4548-4"}]},
    "subject": {"reference": "Patient/erXuFY", "display": "Bianchi, Laura"},
    "valueQuantity": {"value": Decimal("6.10"), "unit": "%"},
}
SOURCES = [{"provider": "epic", "raw_id": "raw-1"}, {"provider": "athena", "raw_id": "raw-2"}]
GATHERED = datetime(2025, 12, 1, 10, 25, tzinfo=UTC)


def record(document: Any = None, sources: Any = SOURCES, **columns: Any) -> CleanRecord:
    values = {"clean_json": HBA1C if document is None else document, "resource_type": "Observation", **columns}
    return CleanRecord("clean-1", ORGANIZATION, PROFILE, sources=sources, created_at=GATHERED, **values)


def shown(row: CleanRecord, **known: Any) -> dict[str, Any]:
    return CLEAN_RECORD.of(row).render(row, "", lookups(**known))


def reference(literal: str, sources: Any = SOURCES, *, document: Any = None, **known: Any) -> dict[str, Any]:
    """What becomes of a reference in a record."""
    written = {**(document or HBA1C), "focus": [{"reference": literal, "display": "as it was"}]}
    told: dict[str, Any] = shown(record(written, sources), **known)["focus"][0]
    return told


def test_a_record_is_shown_under_the_key_of_its_row_digit_for_digit() -> None:
    observation = shown(record())
    assert (observation["resourceType"], observation["id"]) == ("Observation", "clean-1")
    assert same(observation["valueQuantity"], {"value": Decimal("6.10"), "unit": "%"})


def test_version_and_time_are_this_server_s_and_the_rest_of_meta_stays() -> None:
    assert shown(record())["meta"] == {"source": "https://epic.example"}


@pytest.mark.parametrize("patient", ["Patient/erXuFY", "Patient/a-1.E-41128", "Patient/erXuFY/_history/2"])
def test_the_person_is_the_Patient_of_the_profile_whatever_a_source_calls_it(patient: str) -> None:
    assert reference(patient) == {"reference": f"Patient/{PROFILE}", "display": "as it was"}


def test_a_Patient_that_is_not_the_profile_s_is_none_of_ours() -> None:
    system = systems.emr_record("epic", "Patient")
    assert reference("Patient/somebody-else") == {
        "type": "Patient",
        "identifier": {"system": system, "value": "somebody-else"},
        "display": "as it was",
    }


def test_a_person_s_id_at_a_provider_that_is_no_source_is_none_of_ours() -> None:
    assert "reference" not in reference("Patient/a-1.E-41128", SOURCES[:1])


def test_what_was_gathered_stays_the_person_s_when_the_provider_is_disconnected() -> None:
    disconnected = {("profiles", ORGANIZATION, PROFILE): replace(HUB_PROFILE, profile_emr_connections=())}
    raw = {**EMR_RECORDS, "raw-9": replace(EMR_RECORDS["raw-1"], resource_type="Patient", resource_id="erXuFY")}
    ids = {(PROFILE, "epic", "Patient", "erXuFY"): "raw-9"}
    assert "reference" not in reference("Patient/erXuFY", rows=disconnected)
    known = {"rows": disconnected, "emr_records": raw, "emr_ids": ids}
    assert reference("Patient/erXuFY", **known)["reference"] == f"Patient/{PROFILE}"


def test_a_record_that_is_clean_as_well_is_referred_to_by_its_row() -> None:
    assert reference("Observation/a-1.lab-88120")["reference"] == "Observation/clean-1"


def test_of_two_providers_with_one_id_the_one_whose_document_it_is_is_meant() -> None:
    assert reference("Condition/eCondHTN")["reference"] == "Condition/clean-3"
    by_athena = {**HBA1C, "id": "a-1.lab-88120"}
    assert reference("Condition/eCondHTN", document=by_athena)["reference"] == "Condition/clean-5"


def test_a_reference_that_two_records_answer_is_not_decided() -> None:
    merged = {**HBA1C, "id": "neither"}
    assert reference("Condition/eCondHTN", document=merged) == {
        "type": "Condition",
        "identifier": {"value": "eCondHTN"},
        "display": "as it was",
    }


@pytest.mark.parametrize("literal", ["Encounter/eEnc0925", "Practitioner/eM5C"])
def test_what_is_in_no_clean_record_is_named_by_the_provider_s_id_and_pretends_to_be_nothing_here(literal: str) -> None:
    kind, _, name = literal.partition("/")
    told = reference(literal)
    assert told["identifier"] == {"system": f"{systems.BASE}/identifier/emr/epic/{kind}", "value": name}
    assert "reference" not in told


def test_an_identifier_that_a_provider_gave_is_kept() -> None:
    npi = {"system": "http://hl7.org/fhir/sid/us-npi", "value": "1234567893"}
    document = {**HBA1C, "performer": [{"reference": "Practitioner/eM5C", "identifier": npi}]}
    assert shown(record(document))["performer"] == [{"type": "Practitioner", "identifier": npi}]


@pytest.mark.parametrize("literal", ["#contained", "https://elsewhere.example/Patient/erXuFY", "urn:uuid:1"])
def test_what_means_the_same_everywhere_stays(literal: str) -> None:
    assert reference(literal)["reference"] == literal


def test_a_relative_reference_of_another_shape_becomes_an_identifier() -> None:
    assert reference("Practitioner?identifier=x|1")["identifier"] == {"value": "Practitioner?identifier=x|1"}


def test_the_content_of_an_attachment_is_not_looked_for_here() -> None:
    attachment = {"contentType": "application/pdf", "url": "Binary/eBin1"}
    document = {"resourceType": "DocumentReference", "content": [{"attachment": attachment}]}
    told = shown(record(document, resource_type="DocumentReference"))["content"][0]["attachment"]
    assert told == {"contentType": "application/pdf", "_url": {"extension": [systems.data_absent()]}}


def test_a_record_without_usable_sources_has_no_person_and_no_Provenance() -> None:
    for sources in (None, {}, ["epic"], [{"provider": "epic"}], [{"raw_id": 7, "provider": "epic"}]):
        row = record(sources=sources)
        assert CLEAN_SOURCES.parts(row) == ()
        assert "reference" not in shown(row)["subject"]


def test_the_person_is_one_Patient_only() -> None:
    row = record({"resourceType": "Patient", "id": "erXuFY"}, resource_type="Patient")
    assert CLEAN_RECORD.of(row).parts(row) == CLEAN_SOURCES.parts(row) == ()


@pytest.mark.parametrize("document", [None, [], {}, {"resourceType": "Condition"}])
def test_a_document_that_is_not_what_the_column_says_is_a_failure(document: Any) -> None:
    row = replace(record(), clean_json=document)
    with pytest.raises(ValueError, match="no resource of resource_type"):
        CLEAN_RECORD.of(row)
    with pytest.raises(ValueError, match="no resource of resource_type"):
        CLEAN_SOURCES.parts(row)


def test_every_element_comes_from_clean_json() -> None:
    lineage = CLEAN_RECORD.of(record()).lineage(record(), "", lookups(), NOTHING)
    assert lineage.pop("Observation.id") == "profile_fhir_resources_clean.id"
    assert set(lineage.values()) == {"profile_fhir_resources_clean.clean_json, profile_fhir_resources_clean.sources"}


def test_clean_records_are_read_only_and_name_where_they_are_made() -> None:
    for mapper in (CLEAN_RECORD.of(record()), CLEAN_SOURCES):
        outcome = mapper.absorb(mapper.render(record(), mapper.parts(record())[0], lookups()), lookups(), record())
        assert isinstance(outcome, NotClaimed)
        assert outcome.reason.endswith("is read-only through FHIR; use /hub/profiles/{id}/sync")


def test_sources_are_a_Provenance_of_the_record_and_of_the_person() -> None:
    provenance = CLEAN_SOURCES.render(record(), "sources", lookups())
    assert provenance["target"] == [{"reference": "Observation/clean-1"}, {"reference": f"Patient/{PROFILE}"}]
    assert provenance["recorded"] == "2025-12-01T10:25:00Z"
    who = [agent["who"] for agent in provenance["agent"]]
    assert who == [
        {"reference": f"Organization/{ORGANIZATION}", "display": "Loop Health"},
        {"display": "epic"},
        {"display": "athena"},
    ]
    assert [entity["what"]["identifier"] for entity in provenance["entity"]] == [
        {"system": systems.emr_record("epic", "Observation"), "value": "fC7-hba1c"},
        {"system": systems.emr_record("athena", "Observation"), "value": "a-1.lab-88120"},
    ]


def test_a_source_that_is_there_no_longer_is_named_by_its_key() -> None:
    row = record(sources=[{"provider": "epic", "raw_id": "gone"}])
    (entity,) = CLEAN_SOURCES.render(row, "sources", lookups())["entity"]
    assert entity["what"]["identifier"] == {"system": systems.RAW_RECORD, "value": "gone"}


def test_a_clean_Provenance_and_the_Provenance_of_its_sources_are_two() -> None:
    document = {"resourceType": "Provenance", "recorded": "2025-12-01T10:25:00Z"}
    row = record(document, resource_type="Provenance")
    own = CLEAN_RECORD.of(row)
    assert own.resource_id(row) != CLEAN_SOURCES.resource_id(row, "sources")
    assert (own.parts(row), CLEAN_SOURCES.parts(row)) == (("",), ("sources",))


@needs_samples
def test_the_clean_records_of_the_sample_file_are_valid_and_the_person_s() -> None:
    sample = hub_sample()
    assert len(sample.clean) == 4
    for row in sample.clean:
        rendered = CLEAN_RECORD.of(row).render(row, "", sample.lookups)
        assert fhirkit.validate(encode(rendered).decode()) == []
        assert rendered["subject"]["reference"] == f"Patient/{row.profile_id}"
        assert same({**rendered, "subject": 0, "id": 0}, {**row.clean_json, "subject": 0, "id": 0})
        provenance = CLEAN_SOURCES.render(row, "sources", sample.lookups)
        assert fhirkit.validate(encode(provenance).decode()) == []
        assert [entity["what"]["display"] for entity in provenance["entity"]] == ["epic", "athena"]


@needs_samples
def test_whatever_a_provider_of_the_sample_file_sent_can_be_shown_as_a_clean_record() -> None:
    """Each raw record as if it were clean by itself: valid as it came, and no reference leads out of the profile."""
    sample = hub_sample()
    shown_types = set()
    for raw in raw_documents():
        source = [{"provider": raw["provider"], "raw_id": raw["id"]}]
        row = CleanRecord(raw["id"], HUB, raw["profile_id"], raw["resource_type"], raw["resource_json"], source)
        mapper = CLEAN_RECORD.of(row)
        if raw["resource_type"] == "Patient":
            assert mapper.parts(row) == ()
            continue
        rendered = mapper.render(row, "", sample.lookups)
        before, after = (fhirkit.validate(encode(each).decode()) for each in (raw["resource_json"], rendered))
        assert [str(issue) for issue in after] == [str(issue) for issue in before]
        ours = {f"Patient/{raw['profile_id']}"} | {f"{each.resource_type}/{each.id}" for each in sample.clean}
        assert set(literals(rendered)) <= ours
        shown_types.add(raw["resource_type"])
    assert shown_types >= {"Observation", "MedicationRequest", "Condition", "CarePlan", "Medication", "Goal"}


def literals(value: Any) -> list[str]:
    """Every literal reference in a document."""
    if isinstance(value, list):
        return [found for item in value for found in literals(item)]
    if not isinstance(value, dict):
        return []
    own = [value["reference"]] if isinstance(value.get("reference"), str) else []
    return own + literals(list(value.values()))

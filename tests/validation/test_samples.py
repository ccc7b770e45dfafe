"""Resources that others wrote: what is valid passes, what does not pass is listed with the reason (fhir_rest §18)."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from fhir_server.fhir.json_body import encode_json, parse_json
from fhir_server.validation.validate import resource_issues

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
EXAMPLES = DATA / "r4-examples"
SYNTHEA = DATA / "synthea"

REFUSED = {
    "MedicationRequest-medrx0301": {("value", "MedicationRequest.dispenseRequest.performer.reference")},
    "Observation-clinical-gender": {("value", "Observation.performer[0].reference")},
    "Questionnaire-qs1": {("required", "linkId")},
}
"""Official examples that are not valid R4: a Practitioner and an Encounter where the element refers to other types, and
items without their mandatory linkId."""

needs_examples = pytest.mark.skipif(not EXAMPLES.is_dir(), reason="the official examples are not at hand")
needs_synthea = pytest.mark.skipif(not SYNTHEA.is_dir(), reason="the Synthea bundles are not at hand")


@needs_examples
def test_the_official_examples_pass_but_for_those_that_are_not_valid():
    refused = {}
    for path in sorted(EXAMPLES.glob("*.json")):
        data = path.read_bytes()
        issues = resource_issues(parse_json(data), data)
        if issues:
            refused[path.stem] = {(issue.code, issue.expression) for issue in issues}
    assert set(refused) == set(REFUSED)
    assert refused["MedicationRequest-medrx0301"] == REFUSED["MedicationRequest-medrx0301"]
    assert refused["Observation-clinical-gender"] == REFUSED["Observation-clinical-gender"]
    assert {(code, place.rpartition(".")[2]) for code, place in refused["Questionnaire-qs1"]} == REFUSED[
        "Questionnaire-qs1"
    ]


@needs_examples
def test_fhir_H12_the_official_examples_are_parsed_and_encoded_without_a_difference():
    for path in sorted(EXAMPLES.glob("*.json")):
        value = parse_json(path.read_bytes())
        assert parse_json(encode_json(value)) == value, path.name


def faults_in(path: Path) -> list[tuple[str, str]]:
    """Return what is wrong in a Synthea bundle."""
    data = gzip.decompress(path.read_bytes())
    return [(issue.code, issue.expression) for issue in resource_issues(parse_json(data), data, in_transaction=True)]


@needs_synthea
def test_some_synthea_bundles_pass():
    for path in sorted(SYNTHEA.glob("*.json.gz"))[:3]:
        assert faults_in(path) == []


@needs_synthea
@pytest.mark.slow
def test_all_synthea_bundles_pass():
    assert {path.name: found for path in sorted(SYNTHEA.glob("*.json.gz")) if (found := faults_in(path))} == {}

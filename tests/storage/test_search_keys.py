"""Keys of index rows (fhir_rest.md §8.4, §8.5)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.search.keys import (
    LocalReference,
    any_code_key,
    composite_key,
    of_type_key,
    parameter_key,
    parse_reference,
    reference_identifier_key,
    reference_targets,
    self_key,
    system_key,
    token_key,
    unit_key,
    unit_qualifier,
    url_key,
)

BASE = "https://example.org/fhir"
PATIENT = self_key("Patient", "1")


def test_keys_are_what_is_stored_and_never_change():
    assert self_key("Patient", "1") == 432324329077389691
    assert parameter_key("Observation", "code") == -7667936441036593169
    assert token_key("Observation", "code", "8867-4") == -6674337577668493377
    assert system_key("http://loinc.org") == -4019955764186074980


@given(st.text(max_size=20))
def test_keys_fit_an_int8(text):
    assert all(-(2**63) <= key < 2**63 for key in (url_key(text), token_key("Patient", "gender", text)))


def test_kinds_of_keys_do_not_meet():
    keys = [
        self_key("Patient", "a"), url_key("Patient/a"), parameter_key("Patient", "identifier"),
        any_code_key("Patient", "identifier"), token_key("Patient", "identifier", "a"),
        reference_identifier_key("Patient", "identifier", "a"), of_type_key("Patient", "identifier", "a", "a"),
        unit_key("Patient", "identifier", "", "a"), composite_key("Patient", "identifier", "a"), unit_qualifier("a"),
        system_key("a"),
    ]  # fmt: skip
    assert len(set(keys)) == len(keys)


def test_fhir_8_4_codes_are_compared_without_regard_to_case_and_identifiers_letter_by_letter():
    assert token_key("Observation", "code", "ABC") == token_key("Observation", "code", "abc")
    assert token_key("Patient", "identifier", "ABC") != token_key("Patient", "identifier", "abc")
    assert reference_identifier_key("Observation", "subject", "A") != reference_identifier_key(
        "Observation", "subject", "a"
    )
    assert of_type_key("Patient", "identifier", "MR", "A") == of_type_key("Patient", "identifier", "mr", "A")


def test_fhir_8_4_no_system_is_zero():
    assert system_key(None) == system_key("") == 0 != system_key("http://loinc.org")


@pytest.mark.parametrize(
    ("text", "targets"),
    [
        ("Patient/1", (PATIENT,)),
        (f"{BASE}/Patient/1", (PATIENT,)),
        ("Patient/1/_history/2", (PATIENT, url_key("Patient/1/_history/2"))),
        (f"{BASE}/Patient/1/_history/2", (PATIENT, url_key("Patient/1/_history/2"))),
        ("https://other.org/fhir/Patient/1", (url_key("https://other.org/fhir/Patient/1"),)),
        (
            "https://other.org/fhir/Patient/1/_history/2",
            (url_key("https://other.org/fhir/Patient/1"), url_key("https://other.org/fhir/Patient/1/_history/2")),
        ),
        ("urn:uuid:0b9fd2a5", (url_key("urn:uuid:0b9fd2a5"),)),
        ("http://example.org/q|1.0", (url_key("http://example.org/q"), url_key("http://example.org/q|1.0"))),
        ("#contained", ()),
        ("", ()),
        ("Dragon/1", (url_key("Dragon/1"),)),
    ],
)
def test_fhir_8_5_a_reference_is_found_by(text, targets):
    assert reference_targets(text, BASE) == targets


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Patient/1", LocalReference("Patient", "1", None)),
        ("Patient/a.b-C/_history/7", LocalReference("Patient", "a.b-C", "7")),
        ("patient/1", None),
        ("Patient/" + "a" * 65, None),
        ("Patient/1/2", None),
        ("Patient", None),
        (f"{BASE}/Patient/1", None),
    ],
)
def test_fhir_8_5_local_references_have_a_type_and_a_legal_id(text, parts):
    assert parse_reference(text) == parts

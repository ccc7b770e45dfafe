"""An operator's own search parameters (fhir_rest §7, P1): what can be one, and what is told of what cannot."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from capability.search_parameters import SearchType, add_search_parameters, definition_bytes, find
from storage.projection.custom_parameters import UnusableSearchParameter, install_search_parameters

EYES: dict[str, Any] = {
    "resourceType": "SearchParameter",
    "url": "http://example.org/SearchParameter/eyes",
    "code": "eyes",
    "base": ["Patient"],
    "type": "token",
    "expression": "Patient.extension.where(url = 'http://example.org/eyes').value.ofType(CodeableConcept)",
}


@pytest.fixture(autouse=True)
def published_only() -> Iterator[None]:
    """Leave the process as it was; nothing here fills what is derived from parameters."""
    yield
    add_search_parameters({})


def test_a_parameter_joins_those_of_its_base():
    before = definition_bytes()
    install_search_parameters([EYES])
    found = find("Patient", "eyes")
    assert found is not None
    assert (found.type, found.url, found.custom) == (SearchType.TOKEN, EYES["url"], True)
    assert find("Observation", "eyes") is None
    assert definition_bytes() != before


def test_the_same_parameters_may_be_given_again_in_any_order():
    other = EYES | {"code": "hair", "url": "http://example.org/SearchParameter/hair"}
    install_search_parameters([EYES, other])
    first = definition_bytes()
    install_search_parameters([other, EYES])
    assert definition_bytes() == first


def test_of_several_bases_each_takes_its_own_part_of_the_expression():
    both = EYES | {"base": ["Patient", "Practitioner"], "expression": "Patient.name.family | Practitioner.name.given"}
    install_search_parameters([both | {"type": "string"}])
    expressions = [found.expression for name in both["base"] if (found := find(name, "eyes")) is not None]
    assert expressions == ["Patient.name.family", "Practitioner.name.given"]


def test_identifiers_are_compared_letter_by_letter():
    install_search_parameters([EYES | {"expression": "Patient.identifier"}])
    found = find("Patient", "eyes")
    assert found is not None
    assert found.exact


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"resourceType": "Patient"}, "Only SearchParameter"),
        ({"code": "_eyes"}, "starts with a letter"),
        ({"code": "gender"}, "has a parameter gender already"),
        ({"base": ["Resource"]}, "resource types"),
        ({"base": []}, "resource types"),
        ({"type": "composite"}, "the type is one of"),
        ({"expression": None}, "no expression"),
        ({"expression": "Observation.code"}, "starts at Patient"),
        ({"expression": "Patient.nothing"}, "no element 'nothing'"),
        ({"expression": "Patient.name.first()"}, "no function 'first'"),
        ({"expression": "Patient.photo"}, "cannot be made of Attachment"),
        ({"type": "reference", "expression": "Patient.generalPractitioner"}, "names its targets"),
    ],
)
def test_what_cannot_be_answered_is_refused_with_its_reason(change: dict[str, Any], reason: str):
    with pytest.raises(UnusableSearchParameter, match=reason):
        install_search_parameters([EYES | change])
    assert find("Patient", "eyes") is None


def test_two_of_one_code_for_one_type_are_refused():
    with pytest.raises(UnusableSearchParameter, match="the same code"):
        install_search_parameters([EYES, EYES | {"url": "http://example.org/x", "expression": "Patient.maritalStatus"}])


def test_no_more_than_a_presence_mask_holds():
    many = [EYES | {"code": f"own{number}", "url": f"http://example.org/{number}"} for number in range(60)]
    with pytest.raises(UnusableSearchParameter, match="room for"):
        install_search_parameters(many)

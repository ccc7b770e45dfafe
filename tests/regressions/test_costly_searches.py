"""Searches that would keep a worker busy for long are refused (security IN-6, RL-3; fhir_rest 8.7)."""

from __future__ import annotations

import pytest

from fhir_server.errors import InvalidParameter
from fhir_server.fhir.parse.search import parse_criteria, parse_pairs, parse_search

UNNAMED = "part-of." * 6 + "_id"
NAMED = "part-of:Procedure." * 6 + "_id"


def test_security_IN6_a_chain_that_may_lead_through_hundreds_of_types_is_refused() -> None:
    with pytest.raises(InvalidParameter, match="name the types"):
        parse_search("MedicationStatement", parse_pairs(f"{UNNAMED}=1"), strict=True, base_url="")
    with pytest.raises(InvalidParameter, match="name the types"):
        parse_criteria("MedicationStatement", f"{UNNAMED}=1")


def test_security_IN6_many_chains_count_together() -> None:
    many = "&".join(f"_has:Observation:patient:subject._id={number}" for number in range(50))
    with pytest.raises(InvalidParameter, match="name the types"):
        parse_search("Patient", parse_pairs(many), strict=True, base_url="")


def test_security_IN6_the_same_chain_with_its_types_is_searched() -> None:
    parse_search("MedicationStatement", parse_pairs(f"{NAMED}=1"), strict=True, base_url="")
    parse_criteria("MedicationStatement", f"{NAMED}=1")

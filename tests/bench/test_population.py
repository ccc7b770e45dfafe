"""The made-up population is valid, the same each time, and what the searches ask for is in it."""

from __future__ import annotations

from collections import Counter

import pytest

from bench.population import OBSERVATIONS, patient, record, write_population
from bench.searches import SEARCHES
from fhir_server.fhir.parse.search import parse_pairs, parse_search
from fhir_server.validation.validate import validate_resource


def test_every_resource_is_valid():
    for resource in (patient(7), *record(7)):
        validate_resource(resource, None, expected_type=resource["resourceType"])


def test_every_patient_has_an_equal_record():
    one, other = (Counter(each["resourceType"] for each in record(number)) for number in (1, 999))
    assert one == other
    assert one["Observation"] == OBSERVATIONS


def test_equal_sizes_give_equal_files(tmp_path):
    first, second = (write_population(tmp_path / name, 2) for name in ("a", "b"))
    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in second]


@pytest.mark.parametrize("title", SEARCHES)
def test_every_search_is_one_that_the_server_knows(title):
    path, _, query = SEARCHES[title](3).partition("?")
    if path.count("/") == 1:
        pairs = parse_pairs(query)
        assert parse_search(path[1:], pairs, strict=True, base_url="http://test").search.criteria

"""`docs/fhir-api.md` names what is served, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fhir_server.app import ADDRESSES
from fhir_server.errors import RequestError
from fhir_server.fhir.routing import Interaction, route
from fhir_server.outcome import RENDERINGS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "fhir-api.md").read_text()
REQUESTS = re.findall(r"`(GET|POST|PUT|PATCH|DELETE) /fhir/?(\S*?)`", PAGE)


def test_every_request_of_the_page_is_served_and_every_interaction_named():
    served = set()
    for method, address in REQUESTS:
        path = address.partition("?")[0].replace("[type]", "Patient").replace("[id]", "1").replace("[vid]", "2")
        served.add(route(method, path).interaction)
    assert served == set(Interaction)


@pytest.mark.parametrize("address", ADDRESSES)
def test_every_address_is_named(address):
    assert f"`{address}`" in PAGE or f"{address}/" in PAGE


def test_every_status_of_an_error_is_named():
    told = {int(status) for row in re.findall(r"^\| ([\d, ]+) \|", PAGE, re.MULTILINE) for status in row.split(", ")}
    used = {row.status for error, row in RENDERINGS.items() if issubclass(error, RequestError)} - {429}
    assert used <= told

"""Searches drawn from real records find what the oracle finds in them, every parameter that has a value among them."""

from __future__ import annotations

import gzip
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote

import pytest

from capability.search_parameters import SearchParameter, SearchType, search_parameters
from storage.codec import decode, encode
from storage.engine import Database
from tests.search.library import NOW, Library
from tests.search.oracle import World, elements, texts, tokens

RECORDS = 2
PREFIXES = ("", "ge", "le", "gt", "lt", "ne", "sa", "eb", "ap")
NOT_OF_THE_ORACLE = frozenset({"_lastUpdated", "_id"})


def read_bundle(path: Path) -> list[dict[str, Any]]:
    """Return the resources of a transaction bundle with their links as a server would write them."""
    text = gzip.decompress(path.read_bytes())
    for entry in decode(text)["entry"]:
        resource = entry["resource"]
        text = text.replace(entry["fullUrl"].encode(), f"{resource['resourceType']}/{resource['id']}".encode())
    return [entry["resource"] for entry in decode(text)["entry"]]


@pytest.fixture(scope="module")
def resources(shared: Path) -> list[dict[str, Any]]:
    files = sorted((shared / "data" / "synthea").glob("*-*.json.gz"), key=lambda each: each.stat().st_size)
    found = {}
    for path in files[20 : 20 + RECORDS]:
        found.update({(each["resourceType"], each["id"]): each for each in read_bundle(path)})
    return list(found.values())


def asked(parameter: SearchParameter, found: Any, datatype: str, element: str, random: Random) -> str | None:
    """Return a search value that a stored one may meet; None where there is nothing to ask for."""
    match parameter.type:
        case SearchType.TOKEN:
            code, system = random.choice(list(tokens(found, datatype, element)) or [(None, "")])
            return None if code is None else random.choice([code, f"{system}|{code}"])
        case SearchType.STRING:
            known = list(texts(found, datatype))
            return random.choice(known)[: random.choice([3, 50])] if known else None
        case SearchType.DATE:
            moment = found if isinstance(found, str) else found.get(random.choice(["start", "end"]))
            return None if moment is None else random.choice(PREFIXES) + moment[: random.choice([4, 10, 30])]
        case SearchType.REFERENCE:
            return found if isinstance(found, str) else found.get("reference")
        case SearchType.QUANTITY if "value" in found and datatype == "Quantity":
            unit = random.choice(
                ["", f"|{found.get('system', '')}|{found.get('code', '')}", f"||{found.get('unit', '')}"]
            )
            return random.choice(PREFIXES) + encode(found["value"]).decode() + unit
        case SearchType.URI:
            return str(found)
        case _:
            return None


def draw_queries(resources: list[dict[str, Any]], seed: int) -> list[str]:
    """Return a search for each parameter that some resource has a value of, alone and beside the patient."""
    random = Random(seed)
    by_type: dict[str, list[dict[str, Any]]] = {}
    for each in resources:
        by_type.setdefault(each["resourceType"], []).append(each)
    queries = []
    for resource_type, group in by_type.items():
        for parameter in search_parameters(resource_type).values():
            if parameter.code in NOT_OF_THE_ORACLE or parameter.type is SearchType.COMPOSITE:
                continue
            for resource in random.sample(group, min(len(group), 10)):
                value = next((asked(parameter, *each, random) for each in elements(resource, parameter)), None)
                if value and len(value.split("|")[-1]):
                    escaped = value if "|" in value else value.replace(",", "\\,").replace("$", "\\$")
                    queries.append(f"{resource_type}?{parameter.code}={quote(escaped, safe='')}")
                    break
    return queries


async def test_searches_in_real_records_find_what_the_oracle_finds(
    database: Database, resources: list[dict[str, Any]]
) -> None:
    library = Library(database)
    await library.add(*resources)
    world = World(resources, NOW * 1000)
    queries = draw_queries(resources, seed=5)
    assert len(queries) > 100
    patient = next(each["id"] for each in resources if each["resourceType"] == "Patient")
    for query in queries:
        search = library.parse(query)
        expected = world.find(search.resource_type, search.criteria)
        assert sorted(await library.everything(f"{query}&_count=500")) == sorted(expected), query
        if "patient" in search_parameters(search.resource_type):
            beside = library.parse(f"{query}&patient={patient}")
            own = world.find(beside.resource_type, beside.criteria)
            found = await library.everything(f"{query}&patient={patient}&_sort=-_id&_count=500")
            assert found == sorted(own, reverse=True), query

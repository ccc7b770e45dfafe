"""Observation/$lastn: the newest Observations of each kind (FHIR R4 observation-operation-lastn.html; fhir_rest §13).

The definition leaves open what is of one kind. Here Observations are, of which each shares a coding with another; those
without a coding by their text.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from fhir_server.errors import InvalidParameter
from fhir_server.fhir.bundles import bundle_bytes, outcome_entry, search_entry
from fhir_server.fhir.negotiation import Pairs
from fhir_server.fhir.notes import warnings
from fhir_server.fhir.operations.parameters import Parameters, operation_parameters, search_pairs
from fhir_server.fhir.parameters import address_with
from fhir_server.fhir.parse.results import CURSOR, RESULT
from fhir_server.fhir.parse.search import ParsedSearch, parse_search
from fhir_server.fhir.request import FhirRequest
from fhir_server.fhir.response import Response, touched_by
from fhir_server.fhir.service import Service
from fhir_server.fhir.subset import NAMES, asked_subset, subset_versions
from storage.resources import Version
from storage.search.query import Chain, Criterion, Match, Modifier

_SUBJECT: Final = frozenset({"patient", "subject"})
_KIND: Final = frozenset({"code", "category"})
LARGEST: Final = 1_000
"""Observations of one kind that can be asked for."""


async def lastn(request: FhirRequest, service: Service) -> Response:
    """Answer with the newest `max` Observations of each kind that meet the other parameters, kind by kind."""
    given = await operation_parameters(request, service.settings.max_body_bytes)
    most = _most(given)
    asked = search_pairs(given, ["max"])
    part = asked_subset(asked)
    pairs, unused = _criteria_alone(asked)
    if unused and request.preferences.strict:
        raise InvalidParameter(unused[0], "$lastn has max and search criteria only")
    strict = request.preferences.strict
    parsed = parse_search("Observation", pairs, strict=strict, base_url=service.base_url, zone=service.zone)
    _require_narrow(parsed.search.criteria)
    found = await service.searcher.latest(parsed.search.criteria, most, request.access)
    shown = subset_versions(found, part)
    body = _searchset(shown, [*parsed.ignored, *unused], _address(parsed, most, service.base_url), service.base_url)
    return Response(200, body, touched=touched_by("Observation", found, count=len(found)))


def _most(given: Parameters) -> int:
    most = given.whole_number("max")
    if most is None:
        return 1
    if not 1 <= most <= LARGEST:
        raise InvalidParameter("max", f"give a whole number from 1 to {LARGEST}")
    return most


def _criteria_alone(pairs: Pairs) -> tuple[Pairs, list[str]]:
    """Return the pairs that say what is looked for, and the names of those that only shape a page of a search."""
    shaping = [name for name, _ in pairs if name.partition(":")[0] in RESULT | {CURSOR}]
    unused = dict.fromkeys(name for name in shaping if name not in NAMES)
    return tuple(pair for pair in pairs if pair[0] not in shaping), list(unused)


def _require_narrow(criteria: Iterable[Criterion]) -> None:
    """Refuse what is not about a subject and a kind of Observation, as the definition demands."""
    named = {
        each.parameter.code
        for each in criteria
        if isinstance(each, Chain) or (isinstance(each, Match) and each.modifier is not Modifier.NOT)
    }
    if not named & _SUBJECT:
        raise InvalidParameter("patient", "$lastn needs patient or subject")
    if not named & _KIND:
        raise InvalidParameter("code", "$lastn needs code or category")


def _address(parsed: ParsedSearch, most: int, base_url: str) -> str:
    used = [pair for pair in parsed.search.parameters if pair[0] != "_count"]
    return address_with(f"{base_url}/Observation/$lastn", [*used, ("max", str(most))])


def _searchset(found: list[Version], unused: list[str], address: str, base_url: str) -> bytes:
    entries = [search_entry(version, b"match", base_url.encode()) for version in found]
    if unused:
        texts = [f"The parameter {name} is not known here and was not used." for name in unused]
        entries.append(outcome_entry(warnings(texts)))
    return bundle_bytes("searchset", entries, total=len(found), links=[("self", address)])

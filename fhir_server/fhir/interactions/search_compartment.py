"""search in a compartment, of one type or of all in it, by GET or POST (FHIR R4 http.html#vsearch; fhir_rest S1)."""

from __future__ import annotations

from capability.compartments import compartment_parameters, types_within
from fhir_server.access import access_for_read
from fhir_server.errors import NoCompartment
from fhir_server.fhir.negotiation import Pairs
from fhir_server.fhir.parse.search import Scope
from fhir_server.fhir.parse.types import searchable_types, split_types
from fhir_server.fhir.request import FhirRequest
from fhir_server.fhir.response import Response
from fhir_server.fhir.routing import ALL_TYPES
from fhir_server.fhir.searchset import answer_search, read_parameters
from fhir_server.fhir.service import Service
from storage.access import Right
from storage.resources import ResourceKey
from storage.search.query import Criterion, Either, Ids, InPatient, Match, Modifier, Reference


async def search_compartment(request: FhirRequest, service: Service) -> Response:
    """Answer with one page of what matches in the compartment of a resource, which has to be readable as any other."""
    owner, wanted = request.route.key, request.route.within
    known = types_within(owner.resource_type)
    if not known or wanted not in {ALL_TYPES, *known}:
        raise NoCompartment(owner.resource_type, known)
    pairs = await read_parameters(request, service)
    types: tuple[str, ...] = (wanted,)
    shown: Pairs = ()
    if wanted == ALL_TYPES:
        named, pairs, shown = split_types(pairs, frozenset(known))
        types = named or searchable_types(known, request.access)
    for each in types:  # whoever may not search them does not learn whether the owner is there (AZ-4)
        request.access.require(each, Right.SEARCH)
    await service.store.read(owner, access_for_read(request.access, owner.resource_type, owner.id))
    within = {each: _criterion(owner, each) for each in types}
    response = await answer_search(Scope(types, f"{owner}/{wanted}", within, shown), pairs, request, service)
    if owner.resource_type == "Patient" and response.touched is not None:
        response.touched = response.touched.of_patient(owner.id)
    return response


def _criterion(owner: ResourceKey, resource_type: str) -> Criterion:
    """Return the criterion that a resource of the type lies in the compartment."""
    if owner.resource_type == "Patient":
        return InPatient(owner.id)
    reference = Reference(owner.resource_type, owner.id)
    ways: list[Criterion] = [
        Match(parameter, Modifier.NONE, (reference,))
        for parameter in compartment_parameters(owner.resource_type, resource_type)
    ]
    if resource_type == owner.resource_type:
        ways.append(Ids(resource_type, (owner.id,)))
    return ways[0] if len(ways) == 1 else Either(tuple(ways))

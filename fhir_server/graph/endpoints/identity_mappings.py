"""Identity mappings: who a customer is in other systems."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from capability.roles import GraphAction
from fhir_server.graph.envelope import page, success
from fhir_server.graph.errors import Forbidden, Invalid, NotFound
from fhir_server.graph.models.common import Key, Listed, Responses, Success, answers
from fhir_server.graph.models.identity_mappings import Mapping, NewMapping, Resolved
from fhir_server.graph.parameters import ACall, CustomerId
from fhir_server.graph.route import GraphRoute
from fhir_server.graph.rules import Owner, guarded
from fhir_server.graph.windows import PageWindow
from fhir_server.graph.wire import shown
from mappers.rows import CustomerProfile, IdentityMapping
from storage.persons.merges import survivor_of
from storage.repositories.errors import ValueTaken
from storage.repositories.identity_mappings import IdentityMappingRepository, completed
from storage.repositories.profiles import ProfileRepository
from storage.tables.enums import IdentifierType
from storage.transaction import Snapshot, UnitOfWork

router = APIRouter(prefix="/identity-mappings", tags=["Identity mappings"], route_class=GraphRoute)
KNOWN: Responses = {200: {"model": Success[Mapping], "description": "The customer has this mapping already"}}


@router.get("", responses=answers(Listed[Mapping]))
@guarded("profile", GraphAction.READ, Owner.QUERY)
async def list_mappings(call: ACall, window: PageWindow, customer_id: CustomerId) -> Response:
    """List a customer's identity mappings, newest first."""
    found = await IdentityMappingRepository(call.rows).list(customer_id=customer_id, window=window)
    call.touched((customer_id,), (row.id for row in found.rows), found.total)
    return page(found)


@router.get("/resolve", responses=answers(Success[Resolved], errors=(404,)))
@guarded("profile", GraphAction.READ, Owner.NOBODY)
async def resolve_identity(
    call: ACall,
    external_id: Annotated[Key, Query(alias="externalId", description="The id in the other system")],
    external_system: Annotated[Key | None, Query(alias="externalSystem", description="The other system")] = None,
    identifier_type: Annotated[Key | None, Query(alias="identifierType", description="What kind of id it is")] = None,
) -> Response:
    """Return whom an id in another system stands for, and the record that stands for the person."""
    kind = _completed(identifier_type, external_system, ("query", "externalSystem"))[0]
    async with call.service.database.glance(call.organization_id) as snapshot:
        mappings = IdentityMappingRepository(snapshot)
        mapping = await mappings.resolve(external_id, identifier_type=kind)
        customer_id = mapping.customer_id if mapping else await _of_profile(snapshot, kind, external_id)
        if customer_id is None:
            raise NotFound("Identity mapping")
        table, key = await survivor_of(snapshot, ProfileRepository.table_name, customer_id)
    call.touched((customer_id,), (mapping.id,) if mapping else ())
    survivor = {"table": table, "id": key}
    return success({"mapping": shown(mapping) if mapping else None, "customerId": customer_id, "survivor": survivor})


async def _of_profile(snapshot: Snapshot, kind: str, external_id: str) -> str | None:
    """Return whose profile itself has the id: the login's, and the e-mail address, are columns of it."""
    profiles, found = ProfileRepository(snapshot), None
    if kind == IdentifierType.CLERK_USER_ID:
        found = await profiles.by_external_id(external_id)
    elif kind == IdentifierType.EMAIL:
        found = await profiles.by_email(external_id)
    return found.id if isinstance(found, CustomerProfile) else None


@router.post("", status_code=201, responses=answers(Success[Mapping], 201, errors=(404, 409)) | KNOWN)
@guarded("profile", GraphAction.WRITE, Owner.BODY)
async def create_mapping(call: ACall, sent: NewMapping) -> Response:
    """Add what a customer is called in another system; the same once more changes nothing.

    Customers do not say who they are elsewhere: other systems' records would become theirs.
    """
    call.require_own(sent.customer_id)
    if call.is_customer:
        raise Forbidden
    kind, system = _completed(sent.identifier_type, sent.external_system, ("body", "externalSystem"))
    new = call.service.database.ids.uuid7()

    async def work(unit: UnitOfWork) -> IdentityMapping:
        mappings = IdentityMappingRepository(unit)
        made = await mappings.resolve(sent.external_id, identifier_type=kind)
        if made is None:
            values = {**sent.changes(), "identifier_type": kind, "external_system": system}
            made = await mappings.insert(IdentityMapping(new, unit.organization_id, **values))
        elif made.customer_id != sent.customer_id:
            raise call.absent(ValueTaken(mappings.table_name, new, "external_id"))
        call.touched((made.customer_id,), (made.id,))
        return made

    def status(made: IdentityMapping) -> int:
        return 201 if made.id == new else 200

    made = await call.write(work, status)
    return success(shown(made), status(made))


def _completed(kind: str | None, system: str | None, path: Iterable[Any]) -> tuple[str, str | None]:
    try:
        return completed(kind, system)
    except ValueError as error:
        raise Invalid(str(error), tuple(path)) from None

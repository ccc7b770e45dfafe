"""Profiles: who the customers are."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from capability.roles import GraphAction
from fhir_server.graph.envelope import page, success
from fhir_server.graph.errors import Forbidden, NotFound
from fhir_server.graph.models.common import Listed, Success, answers
from fhir_server.graph.models.profiles import NewProfile, Profile, ProfileChanges
from fhir_server.graph.parameters import ACall, RowId
from fhir_server.graph.route import GraphRoute
from fhir_server.graph.rules import Owner, guarded
from fhir_server.graph.windows import PageWindow
from fhir_server.graph.wire import shown
from mappers.rows import CustomerProfile
from storage.errors import ResourceNotFound
from storage.repositories.errors import ValueTaken
from storage.repositories.profiles import ProfileRepository
from storage.transaction import UnitOfWork

router = APIRouter(prefix="/profiles", tags=["Profiles"], route_class=GraphRoute)


def shown_profile(row: CustomerProfile) -> dict[str, Any]:
    """Return a profile as the API shows it; identity mappings have endpoints of their own."""
    return shown(row, without=("identity_mappings",))


@router.get("", responses=answers(Listed[Profile]))
@guarded("profile", GraphAction.READ, Owner.QUERY)
async def list_profiles(
    call: ACall,
    window: PageWindow,
    customer_id: Annotated[str | None, Query(alias="customerId", description="Only this profile")] = None,
    email: Annotated[str | None, Query(description="Exactly this e-mail address")] = None,
) -> Response:
    """List profiles, newest first; customers see their own."""
    wanted = call.own if call.is_bound else customer_id
    if call.is_bound and wanted is None:
        raise Forbidden
    found = await ProfileRepository(call.rows).list(customer_id=wanted, email=email, window=window)
    call.touched((row.id for row in found.rows), (row.id for row in found.rows), found.total)
    return page(found, shown_profile)


@router.get("/{id}", responses=answers(Success[Profile], errors=(404,)))
@guarded("profile", GraphAction.READ, Owner.PATH)
async def get_profile(call: ACall, row_id: RowId) -> Response:
    """Return one profile."""
    row = await ProfileRepository(call.rows).find(row_id)
    call.touched((row_id,), (row_id,))
    if row is None:
        raise NotFound("Profile")
    return success(shown_profile(row))


@router.post("", status_code=201, responses=answers(Success[Profile], 201, errors=(409,)))
@guarded("profile", GraphAction.WRITE, Owner.OWN)
async def create_profile(call: ACall, sent: NewProfile) -> Response:
    """Create a profile; customers create the one of their own login.

    A customer whose e-mail address is another's is refused as anybody is who may not do something.
    """
    caller = call.caller
    if call.is_bound and (call.own is not None or sent.external_id not in {caller.account, caller.subject}):
        raise Forbidden

    async def work(unit: UnitOfWork) -> CustomerProfile:
        values = {**sent.changes(), "tags": sent.tags or [], "metadata": sent.metadata or {}}
        row = CustomerProfile(id=unit.ids.uuid7(), organization_id=unit.organization_id, **_as_columns(values))
        try:
            made = await ProfileRepository(unit).insert(row)
        except ValueTaken as taken:
            raise call.absent(taken) from None
        call.touched((made.id,), (made.id,))
        return made

    return success(shown_profile(await call.write(work, 201)), 201)


@router.patch("/{id}", responses=answers(Success[Profile], errors=(404, 409)))
@guarded("profile", GraphAction.WRITE, Owner.PATH)
async def change_profile(call: ACall, row_id: RowId, sent: ProfileChanges) -> Response:
    """Change what is named of a profile; its timeline tells which members, FHIR shows the Patient at once.

    Customers keep their e-mail address: it is the login provider's, and trying others would tell whose is whose.
    """

    async def work(unit: UnitOfWork) -> CustomerProfile:
        call.touched((row_id,), (row_id,))
        profiles = ProfileRepository(unit)
        row = await profiles.find(row_id)
        if row is None:
            raise NotFound("Profile")
        if call.is_bound and "email" in sent.model_fields_set and sent.email != row.email:
            raise Forbidden
        try:
            return await profiles.change(row_id, _as_columns(sent.changes()))
        except ResourceNotFound:
            raise NotFound("Profile") from None

    return success(shown_profile(await call.write(work)))


def _as_columns(values: dict[str, Any]) -> dict[str, Any]:
    """Return values as the row holds them: lists are tuples there."""
    lists = ("conditions", "medications", "allergies")
    return {name: tuple(value) if name in lists and value is not None else value for name, value in values.items()}

"""The names of patients in a person's own grants: read with the person's own access, and audited like any read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from starlette.requests import Request

from fhir_server.oauth.picking import Picker, patient_card
from fhir_server.oauth.service import Act, OAuthService, service_of
from fhir_server.oauth.transactions import Membership
from storage.authorization.grants import Grant
from storage.codec import decode
from storage.errors import InteractionForbidden, ResourceGone, ResourceNotFound
from storage.repositories.entities import User
from storage.repositories.platform import OrganizationRepository, UserOrganizationRepository, UserRepository
from storage.resources import ResourceKey

Names = Mapping[tuple[str, str], str]
"""Name by organization and id of the Patient."""


async def patient_names(request: Request, user: User, grants: Iterable[Grant]) -> Names:
    """Return the names of the patients in grants, of those whom the person may still see."""
    service = service_of(request)
    wanted = {(each.organization_id, each.patient): each.client_id for each in grants if each.patient}
    memberships = await _memberships(service, user) if wanted else {}
    names: dict[tuple[str, str], str] = {}
    for (organization_id, patient), client_id in wanted.items():
        membership = memberships.get(organization_id)
        name = membership and await _name(service, Picker(user.id, membership, client_id), patient)
        if membership and name:
            names[organization_id, patient] = name
            shown = Act(user.id, membership.row.role, "Patient", "read", action="read", ids=(patient,), patient=patient)
            await service.note(request, organization_id, shown)
    return names


async def _memberships(service: OAuthService, user: User) -> dict[str, Membership]:
    async with service.database.platform_read() as connection:
        users, organizations = UserRepository(connection), OrganizationRepository(connection)
        return {
            row.organization_id: Membership(
                row,
                await organizations.get(row.organization_id),
                await users.patients_of(user.id, row.organization_id),
            )
            for row in await UserOrganizationRepository(connection).of_user(user.id)
        }


async def _name(service: OAuthService, picker: Picker, patient: str) -> str | None:
    """Return a name; None for a patient whom the person may not, or no longer, see."""
    if picker.membership.is_patient and patient not in picker.membership.own_patients:
        return None
    try:
        version = await service.store.read(ResourceKey("Patient", patient), picker.access(patient))
    except (ResourceNotFound, ResourceGone, InteractionForbidden):
        return None
    return patient_card(decode(version.body)).name

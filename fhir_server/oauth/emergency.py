"""Emergency access: who may open it, for whom, and its end (security TN-7, AD-1; 45 CFR 164.312(a)(2)(ii)).

Whoever may break the glass gets an hour at most with one patient's record, for a reason that is written down before.
Nothing can be changed with it, and every access that comes of it has the purpose BTG in the audit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request

from capability.roles import roles
from fhir_server.access import BREAK_GLASS, EMERGENCY, Caller, authorise
from fhir_server.oauth.operator import RESOURCE_ID
from fhir_server.oauth.service import Act, OAuthService, service_of
from fhir_server.oauth.sessions import PERSON
from fhir_server.oauth.transactions import Membership, memberships_of
from storage.access import Access
from storage.authorization.emergencies import Emergency, add_emergency, end_emergency, lasting_emergencies
from storage.errors import ResourceGone, ResourceNotFound
from storage.repositories.entities import User, UserOrganization
from storage.repositories.platform import OrganizationRepository
from storage.resources import ResourceKey
from storage.store import ResourceStore

EMERGENCY_SECONDS: Final = 3600
SHORTEST_REASON: Final = 10
LONGEST_REASON: Final = 500
"""In characters, surrounding space aside."""
RESOURCE: Final = "break_glass"
"""What the audit calls an emergency access."""


class EmergencyRefused(Exception):
    """Emergency access cannot be opened; the message is for the person and says what to change."""


@dataclass(frozen=True, slots=True)
class Place:
    """An organization in which somebody may open emergency access.

    `membership` is None for an administrator of the installation, who has no role there.
    """

    organization_id: str
    name: str
    membership: Membership | None

    @property
    def role(self) -> str:
        """What the person is there, for the audit."""
        return self.membership.row.role if self.membership else PERSON


async def places_of(service: OAuthService, user: User) -> tuple[Place, ...]:
    """Return the organizations in which a person may open emergency access; nothing for everybody else."""
    members = {
        each.row.organization_id: Place(each.row.organization_id, each.organization.name, each)
        for each in await memberships_of(service, user.id, None)
        if may_break_glass(each.row)
    }
    if not user.is_platform_admin:
        return tuple(members.values())
    async with service.database.platform_read() as connection:
        rows = [each for each in await OrganizationRepository(connection).all() if each.is_active]
    return tuple(members.get(each.id) or Place(each.id, each.name, None) for each in rows)


def may_break_glass(membership: UserOrganization) -> bool:
    """Say whether a role lets somebody open emergency access (`capability/roles.json`)."""
    role = roles().get(membership.role)
    return role is not None and role.break_glass


def checked_reason(reason: str) -> str:
    """Return a reason that can be kept; raises EmergencyRefused for one that says nothing."""
    text = " ".join(reason.split())
    if not SHORTEST_REASON <= len(text) <= LONGEST_REASON:
        raise EmergencyRefused(f"Give a reason of {SHORTEST_REASON} to {LONGEST_REASON} characters.")
    return text


def emergency_caller(user_id: str, client_id: str, organization_id: str, patient: str, emergency_id: str) -> Access:
    """Return the access to one Patient by which its existence is looked up."""
    return authorise(
        Caller(
            subject=user_id,
            client_id=client_id,
            organization_id=organization_id,
            role=EMERGENCY,
            scope="patient/Patient.r",
            token_id=emergency_id,
            issued_at=0,
            expires_at=0,
            patient=patient,
            break_glass_id=emergency_id,
        )
    )


async def require_patient(store: ResourceStore, patient: str, access: Access) -> None:
    """Raise EmergencyRefused unless there is such a patient in the organization."""
    try:
        if RESOURCE_ID.match(patient):
            await store.read(ResourceKey("Patient", patient), access)
            return
    except (ResourceNotFound, ResourceGone):
        pass
    raise EmergencyRefused("There is no patient with this id in the organization.")


async def open_emergency(request: Request, user: User, place: Place, patient: str, reason: str) -> Emergency:
    """Open emergency access for an hour; raises EmergencyRefused, which is on record when it is about the patient."""
    service = service_of(request)
    text = checked_reason(reason)
    now, emergency_id = service.seconds, service.database.ids.uuid7()
    act = Act(user.id, place.role, RESOURCE, "open", ids=(emergency_id,), patient=patient, purpose=BREAK_GLASS)
    try:
        access = emergency_caller(user.id, RESOURCE, place.organization_id, patient, emergency_id)
        await require_patient(service.store, patient, access)
    except EmergencyRefused:
        denied = Act(user.id, place.role, RESOURCE, "open", outcome="denied", status=404, purpose=BREAK_GLASS)
        await service.note(request, place.organization_id, denied)
        raise
    opened = Emergency(emergency_id, user.id, place.organization_id, patient, text, now, now + EMERGENCY_SECONDS)
    async with service.acting(request, place.organization_id, act) as unit:
        await add_emergency(unit.connection, opened)
    return opened


async def close_emergency(request: Request, user: User, emergency_id: str) -> bool:
    """End a person's own emergency access, with all tokens of it; False when there is none that lasts."""
    service = service_of(request)
    async with service.database.platform_read() as connection:
        lasting = await lasting_emergencies(connection, user.id, service.seconds)
    found = next((each for each in lasting if each.id == emergency_id), None)
    if found is None:
        return False
    act = Act(user.id, PERSON, RESOURCE, "end", ids=(found.id,), patient=found.patient, purpose=BREAK_GLASS)
    async with service.acting(request, found.organization_id, act) as unit:
        await end_emergency(unit.connection, found.id, user.id, service.seconds)
    return True


async def lasting_of(service: OAuthService, user: User) -> Sequence[Emergency]:
    """Return the emergency accesses of a person that last."""
    async with service.database.platform_read() as connection:
        return await lasting_emergencies(connection, user.id, service.seconds)

"""Authorization requests on their way: who asks, who is there, what is known so far (`smart.md` A12, L5).

Everything is read anew on every page and every form: the stored request holds the truth, a form only chooses among what
it allows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from capability.roles import roles
from fhir_server.access import EMERGENCY, RESOURCE_TYPES
from fhir_server.oauth.authorization_checks import Parameters, Rejected, is_registered, rejection_address
from fhir_server.oauth.deciding import Progress, Step, needs_patient, next_step, offer
from fhir_server.oauth.scopes import InvalidScope, grant_text
from fhir_server.oauth.service import Act, OAuthService, service_of
from fhir_server.oauth.sessions import SignedIn, signed_in
from fhir_server.pages.browser import browser_key, browser_of
from fhir_server.pages.page import PageRefused, SignInNeeded, redirect
from mappers.rows import Organization
from storage.authorization.emergencies import lasting_emergencies
from storage.authorization.launches import Launch, find_launch
from storage.authorization.opaque import digest
from storage.authorization.requests import AuthorizationRequest, find_request, finish_request, save_choices
from storage.repositories.entities import Client, User, UserOrganization
from storage.repositories.platform import (
    ClientRepository,
    OrganizationRepository,
    UserOrganizationRepository,
    UserRepository,
)

START_AGAIN: Final = "Go back to the app and start again."
FRAMES: Final = frozenset({"iframe", "frame", "embed", "object"})


@dataclass(frozen=True, slots=True)
class Pending:
    """A request of an app that this browser may answer; `transaction` is its id in addresses."""

    transaction: str
    stored: AuthorizationRequest
    parameters: Parameters
    client: Client
    launch: Launch | None

    @property
    def path(self) -> str:
        """The address where the flow goes on, whatever comes next."""
        return f"/authorize/{self.transaction}"

    def step_path(self, step: Step) -> str:
        """Return the address of one page."""
        return f"{self.path}/{step}"

    @property
    def is_silent(self) -> bool:
        """Whether no page may be shown (`prompt=none`)."""
        return "none" in self.parameters.prompt

    def rejected(self, code: str, description: str) -> Rejected:
        """Return an error that the app is told by a redirect."""
        return Rejected(code, description, self.parameters.redirect_uri, self.parameters.state)


@dataclass(frozen=True, slots=True)
class Membership:
    """A role of the person in an organization in which the app may be used."""

    row: UserOrganization
    organization: Organization
    own_patients: tuple[str, ...]
    """Whom a person in the role PATIENT may act for, or has emergency access to."""
    emergency_id: str | None = None
    """The emergency access that the membership stands for: a role of its own, EMERGENCY."""

    @property
    def key(self) -> str:
        """What names it among a person's memberships."""
        organization_id = self.row.organization_id
        return organization_id if self.emergency_id is None else f"{organization_id} {self.emergency_id}"

    @property
    def fhir_user(self) -> str | None:
        """`Type/id` of the resource that stands for the person; for a proxy of several nobody can tell."""
        is_own = self.is_patient and self.emergency_id is None
        if self.row.fhir_user is None and is_own and len(self.own_patients) == 1:
            return f"Patient/{self.own_patients[0]}"
        return self.row.fhir_user

    @property
    def is_patient(self) -> bool:
        """Whether the role reaches own records alone."""
        return roles()[self.row.role].own


@dataclass(frozen=True, slots=True)
class Standing:
    """A request, the person in front of it, and what that person has chosen so far."""

    pending: Pending
    person: SignedIn
    memberships: tuple[Membership, ...]
    membership: Membership | None
    offered: tuple[str, ...]
    patient: str | None
    encounter: str | None

    @property
    def user(self) -> User:
        """Who is signed in."""
        return self.person.user

    @property
    def chosen(self) -> Membership:
        """The membership that the person acts in; raises PageRefused while it is not chosen."""
        if self.membership is None:
            raise PageRefused(409, "Something is missing", START_AGAIN)
        return self.membership

    @property
    def step(self) -> Step:
        """What has to be shown next."""
        organization = self.membership.row.organization_id if self.membership else None
        own = self.membership is not None and self.membership.is_patient
        return next_step(Progress(organization, self.offered, self.patient, self.encounter, own))

    def act(self, interaction: str, **more: Any) -> Act:
        """Return what the person does here, for the audit."""
        role = self.membership.row.role if self.membership else ""
        named: dict[str, Any] = {"client_id": self.pending.client.id, "patient": self.patient} | more
        return Act(self.user.id, role, "grant", interaction, **named)


async def own_request(request: Request) -> Pending:
    """Return the request that the address names, if it waits for this browser; raises PageRefused (A12)."""
    service = service_of(request)
    browser = browser_of(request)
    transaction = request.path_params["transaction"]
    async with service.database.platform_read() as connection:
        stored = await find_request(connection, digest(transaction))
    key = browser_key(browser) if browser else None
    stored = usable(stored, service.seconds)
    if key is None or stored.browser != key:
        raise PageRefused(403, "This page belongs to another browser", START_AGAIN)
    return await pending_of(service, transaction, stored)


def usable(stored: AuthorizationRequest | None, now: int) -> AuthorizationRequest:
    """Return a request that still waits; raises PageRefused with what became of it."""
    if stored is None:
        raise PageRefused(404, "This request is not known", START_AGAIN)
    if stored.finished_at is not None:
        raise PageRefused(409, "This request was answered already", START_AGAIN)
    if stored.expires_at <= now:
        raise PageRefused(410, "This request has expired", START_AGAIN)
    return stored


async def pending_of(service: OAuthService, transaction: str, stored: AuthorizationRequest) -> Pending:
    """Return a stored request with its client.

    Raises PageRefused for a client that was switched off meanwhile (R6), or no longer has the redirect URI.
    """
    async with service.database.platform_read() as connection:
        client = await ClientRepository(connection).find(stored.client_id)
        launch = await find_launch(connection, stored.launch_id) if stored.launch_id else None
    if client is None or not client.is_active:
        raise PageRefused(400, "This app was switched off", "Ask those who run this server.")
    parameters = Parameters.from_json(stored.parameters)
    if not is_registered(parameters.redirect_uri, client):
        raise PageRefused(400, "This app has changed", START_AGAIN)
    return Pending(transaction, stored, parameters, client, launch)


async def standing(request: Request) -> Standing:
    """Return how things stand for the request that the address names.

    Raises PageRefused, SignInNeeded, and Rejected where the app is told (`prompt=none`, nothing that can be granted).
    """
    refuse_frames(request)
    pending = await own_request(request)
    person = await _person(request, pending)
    if pending.launch is not None and pending.launch.user_id != person.user.id:
        raise OtherPerson(pending, person)
    memberships = await _memberships(request, pending, person)
    return _stand(pending, person, memberships)


class OtherPerson(Exception):
    """The launch is somebody else's than the person who is signed in here (L5)."""

    def __init__(self, pending: Pending, person: SignedIn) -> None:
        super().__init__()
        self.pending = pending
        self.person = person


def refuse_frames(request: Request) -> None:
    """Raise PageRefused inside a frame of another page, where nobody sees who asks."""
    if request.headers.get("sec-fetch-dest", "") in FRAMES:
        raise PageRefused(403, "This page cannot be framed", "Open it in a window of its own.")


async def _person(request: Request, pending: Pending) -> SignedIn:
    person = await signed_in(request)
    if person is not None and not _is_stale(person, pending, service_of(request).seconds):
        return person
    if pending.is_silent:
        raise pending.rejected("login_required", "Nobody is signed in.")
    raise SignInNeeded(pending.path, fresh=person is not None)


def _is_stale(person: SignedIn, pending: Pending, now: int) -> bool:
    """Say whether the app asked for a fresher sign-in; one since it asked is always fresh enough."""
    asked = pending.parameters
    if person.authenticated_at >= pending.stored.created_at:
        return False
    too_old = asked.max_age is not None and now - person.authenticated_at > asked.max_age
    return too_old or bool({"login", "select_account"} & set(asked.prompt))


async def memberships_of(service: OAuthService, user_id: str, only: str | None) -> tuple[Membership, ...]:
    """Return the roles that somebody has in active organizations, or in `only` that one."""
    found: list[Membership] = []
    async with service.database.platform_read() as connection:
        users, organizations = UserRepository(connection), OrganizationRepository(connection)
        for row in await UserOrganizationRepository(connection).of_user(user_id):
            if only not in (None, row.organization_id) or row.role not in roles():
                continue
            organization = await organizations.find(row.organization_id)
            if organization is not None and organization.is_active:
                own = await users.patients_of(user_id, row.organization_id) if roles()[row.role].own else ()
                found.append(Membership(row, organization, own))
    return tuple(found)


async def _emergencies(service: OAuthService, user_id: str, only: str | None) -> tuple[Membership, ...]:
    """Return the emergency accesses of a person, each as a role of its own in the organization, for one patient."""
    found: list[Membership] = []
    async with service.database.platform_read() as connection:
        organizations = OrganizationRepository(connection)
        own = {each.organization_id: each for each in await UserOrganizationRepository(connection).of_user(user_id)}
        for each in await lasting_emergencies(connection, user_id, service.seconds):
            if only not in (None, each.organization_id):
                continue
            organization = await organizations.find(each.organization_id)
            if organization is not None and organization.is_active:
                fhir_user = own[each.organization_id].fhir_user if each.organization_id in own else None
                row = UserOrganization(each.id, user_id, each.organization_id, EMERGENCY, fhir_user)
                found.append(Membership(row, organization, (each.patient,), each.id))
    return tuple(found)


async def _memberships(request: Request, pending: Pending, person: SignedIn) -> tuple[Membership, ...]:
    """Return where the person may use the app: in the app's organization, or in any of an app that belongs to none."""
    service = service_of(request)
    only = pending.launch.organization_id if pending.launch else pending.client.organization_id
    found = await memberships_of(service, person.user.id, only)
    if pending.launch is None:
        found += await _emergencies(service, person.user.id, only)
    if found:
        return found
    refused = Act(person.user.id, "", "grant", "authorize", outcome="denied", status=403, client_id=pending.client.id)
    await service.note(request, only, refused)
    raise PageRefused(
        403, "You cannot use this app", "It belongs to an organization of which you are no member. Ask its people."
    )


def _stand(pending: Pending, person: SignedIn, memberships: tuple[Membership, ...]) -> Standing:
    chosen = pending.stored.choices
    if chosen.get("user") != person.user.id:  # somebody else chose
        chosen = {}
    by_key = {each.key: each for each in memberships}
    membership = memberships[0] if len(memberships) == 1 else by_key.get(chosen.get("organization", ""))
    if membership is None:
        return Standing(pending, person, memberships, None, (), None, None)
    has_fhir_user = membership.fhir_user is not None
    offered = offer(_registered_scope(pending), membership.row.role, has_fhir_user=has_fhir_user)
    if not offered:
        raise pending.rejected("invalid_scope", "None of the scopes asked for is within this person's role.")
    patient = _patient(pending, membership, chosen, offered)
    encounter = pending.launch.encounter if pending.launch else None
    if encounter is None and patient is not None and chosen.get("patient", patient) == patient:
        encounter = chosen.get("encounter")
    return Standing(pending, person, memberships, membership, offered, patient, encounter)


def _registered_scope(pending: Pending) -> str:
    """Return what was asked for and is still registered; raises Rejected when nothing is."""
    try:
        return grant_text(pending.parameters.scope, pending.client.scope, RESOURCE_TYPES)
    except InvalidScope as error:
        raise pending.rejected("invalid_scope", str(error)) from None


def _patient(
    pending: Pending, membership: Membership, chosen: Mapping[str, Any], offered: tuple[str, ...]
) -> str | None:
    """Return the patient in context: of the launch, chosen, or the only one whom the person may act for (P1)."""
    if pending.launch is not None and pending.launch.patient is not None:
        return pending.launch.patient
    if not needs_patient(offered, own=membership.is_patient):
        return None
    patient: str | None = chosen.get("patient")
    if not membership.is_patient:
        return patient
    own = membership.own_patients
    if len(own) == 1:
        return own[0]
    return patient if patient in own else None


async def choose(request: Request, stand: Standing, **choices: str | None) -> Response:
    """Keep what the person chose and go on; a choice of None is forgotten. Raises PageRefused."""
    service = service_of(request)
    stored = stand.pending.stored
    before = stored.choices if stored.choices.get("user") == stand.user.id else {}
    kept = {name: value for name, value in {**before, **choices}.items() if value is not None}
    async with service.database.platform() as connection:
        saved = await save_choices(
            connection, stored.id, stored.browser or "", {**kept, "user": stand.user.id}, service.seconds
        )
    if not saved:
        raise PageRefused(409, "This request was answered already", START_AGAIN)
    return redirect(service.settings, stand.pending.path)


async def reject(request: Request, pending: Pending, error: Rejected, act: Act | None = None) -> Response:
    """End the request and tell the app why, by a redirect; raises PageRefused when it was answered already."""
    service = service_of(request)
    organization = pending.launch.organization_id if pending.launch else pending.client.organization_id
    told = act or Act("", "", "grant", "authorize", outcome="denied", status=303, client_id=pending.client.id)
    async with service.acting(request, organization, told) as unit:
        if not await finish_request(unit.connection, pending.stored.id, pending.stored.browser or "", service.seconds):
            raise PageRefused(409, "This request was answered already", START_AGAIN)
    return redirect(service.settings, rejection_address(error, service.settings.base_url))


async def asking(request: Request, transaction: str) -> Pending | None:
    """Return a pending request for the page where a person signs in; None when there is none for this browser.

    The page names its client, may know who is expected (`login_hint`), and lets its `form-action` lead to the redirect
    URI (`render(…, goes_to=…)`): signing in may be all that was missing.
    """
    service, browser = service_of(request), browser_of(request)
    async with service.database.platform_read() as connection:
        stored = await find_request(connection, digest(transaction))
    if stored is not None and stored.browser not in (None, browser_key(browser) if browser else ""):
        return None
    try:
        return await pending_of(service, transaction, usable(stored, service.seconds))
    except PageRefused:
        return None

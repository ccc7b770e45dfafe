"""The EHR launch page (`smart.md` §15, L1, L2): an app, a patient, a visit, and off to the app.

Nothing is kept until the launch is minted: what was chosen travels in the form, and each step checks all of it again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fhir_server.oauth.endpoints import OwnRoute, json_endpoint
from fhir_server.oauth.forms import read_pairs
from fhir_server.oauth.launches import NO_LAUNCH, TITLE, LaunchRequest, can_launch, launch_by_token, mint
from fhir_server.oauth.picking import (
    Found,
    Picker,
    SearchRefused,
    find_encounters,
    find_patients,
    permitted_patient,
    shown_patient,
)
from fhir_server.oauth.service import service_of
from fhir_server.oauth.sessions import SignedIn, require_signed_in
from fhir_server.oauth.styles import style_address
from fhir_server.oauth.transactions import Membership, memberships_of
from fhir_server.pages.encounters import NONE
from fhir_server.pages.flow import Fields
from fhir_server.pages.page import PageRefused, check_form, page, redirect, render
from fhir_server.pages.patients import asked_of, context, search_pairs
from storage.repositories.entities import Client
from storage.repositories.platform import ClientRepository

PATH: Final = "/launch"
MINT: Final = "/ehr/launch"
FORM: Final = "launch"


@dataclass(frozen=True, slots=True)
class Chosen:
    """Who launches, from where, and which app once it is chosen."""

    person: SignedIn
    memberships: tuple[Membership, ...]
    membership: Membership | None
    client: Client | None

    @property
    def hidden(self) -> dict[str, str]:
        """What the next form carries along."""
        found = {"organization": self.membership.row.organization_id} if self.membership else {}
        return found | ({"client_id": self.client.id} if self.client else {})

    def picker(self) -> Picker:
        """Return the person as one who chooses patients for the app; raises PageRefused before both are chosen."""
        if self.membership is None or self.client is None:
            raise PageRefused(400, "Something is missing", "Begin with the app.")
        return Picker(self.person.user.id, self.membership, self.client.id)


async def show_launch(request: Request) -> Response:
    """Show the apps that can be opened; of several organizations first these."""
    person = await require_signed_in(request)
    chosen = await _chosen(request, person, Fields(()))
    return await _apps_page(request, chosen)


async def continue_launch(request: Request) -> Response:
    """Take one choice and show the next: organization, app, patient, visit."""
    person = await require_signed_in(request)
    fields = await _sent(request)
    chosen = await _chosen(request, person, fields)
    if chosen.client is None or chosen.membership is None:
        return await _apps_page(request, chosen)
    patient = fields.one("patient")
    if not patient:
        return await _patients_page(request, chosen, fields)
    card = await shown_patient(request, chosen.picker(), patient)
    encounters = await find_encounters(request, chosen.picker(), patient)
    return _render(request, "launch_visit.html", chosen, patient=card, encounters=encounters)


async def launch_by_form(request: Request) -> Response:
    """Mint the launch and go to the app's own launch address."""
    person = await require_signed_in(request, back=PATH)
    fields = await _sent(request)
    chosen = await _chosen(request, person, fields)
    picker, patient, encounter = chosen.picker(), fields.one("patient") or None, fields.one("encounter")
    if patient is not None:
        await permitted_patient(request, picker, patient)
    asked = LaunchRequest(
        picker.client_id,
        patient,
        encounter if patient is not None and encounter not in {"", NONE} else None,
        context={"need_patient_banner": True, "smart_style_url": style_address(service_of(request).settings)},
    )
    minted = await mint(request, asked, person.user, picker.membership)
    return redirect(service_of(request).settings, minted.url)


async def _sent(request: Request) -> Fields:
    pairs = await read_pairs(request)
    check_form(request, dict(pairs), FORM)
    return Fields(pairs)


async def _chosen(request: Request, person: SignedIn, fields: Fields) -> Chosen:
    """Return what was chosen so far, checked; raises PageRefused for what cannot be."""
    service, wanted = service_of(request), fields.one("organization")
    memberships = await memberships_of(service, person.user.id, None)
    if not memberships:
        raise PageRefused(403, "You cannot open apps here", "You have no role in any organization.")
    by_id = {each.row.organization_id: each for each in memberships}
    membership = memberships[0] if len(memberships) == 1 else by_id.get(wanted)
    if wanted and wanted not in by_id:
        raise PageRefused(403, "You cannot choose this organization", "You have no role in it.")
    client_id = fields.one("client_id")
    if membership is None or not client_id:
        return Chosen(person, memberships, membership, None)
    async with service.database.platform_read() as connection:
        client = await ClientRepository(connection).find(client_id)
    if client is None or not can_launch(client, membership.row.organization_id):
        raise PageRefused(400, TITLE, NO_LAUNCH)
    return Chosen(person, memberships, membership, client)


async def _apps_page(request: Request, chosen: Chosen) -> Response:
    apps: list[Client] = []
    if chosen.membership is not None:
        organization = chosen.membership.row.organization_id
        async with service_of(request).database.platform_read() as connection:
            apps = [each for each in await ClientRepository(connection).all() if can_launch(each, organization)]
    apps.sort(key=lambda client: (client.name or client.id).casefold())
    return _render(request, "launch.html", chosen, apps=apps)


async def _patients_page(request: Request, chosen: Chosen, fields: Fields) -> Response:
    asked, alert = asked_of(fields), ""
    try:
        found = await find_patients(request, chosen.picker(), search_pairs(asked), fields.one("cursor") or None)
    except SearchRefused as error:
        found, alert = Found(()), str(error)
    more = context(asked, found, alert)
    return _render(request, "launch_patient.html", chosen, 422 if alert else 200, **more)


def _render(request: Request, template: str, chosen: Chosen, status: int = 200, **more: object) -> Response:
    goes_to = chosen.client.launch_uris[0] if chosen.client else None
    return render(request, template, status, form=FORM, goes_to=goes_to, chosen=chosen, hidden=chosen.hidden, **more)


def _either(by_token: Route, by_form: Route) -> Route:
    """Return the route of an address that a backend client asks with a token and a browser with a form.

    Whoever sends JSON is a client that forgot its token: a sign-in page would tell it nothing.
    """

    async def launch(request: Request) -> Response:
        is_json = request.headers.get("content-type", "").startswith("application/json")
        route = by_token if is_json or "authorization" in request.headers else by_form
        response: Response = await route.endpoint(request)
        return response

    return OwnRoute(MINT, launch, methods=["POST"])


ROUTES: Final = (
    page(PATH, show_launch),
    page(PATH, continue_launch, ("POST",)),
    _either(json_endpoint(MINT, launch_by_token), page(MINT, launch_by_form, ("POST",))),
)

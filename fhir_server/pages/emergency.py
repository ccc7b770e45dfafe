"""The page where emergency access is opened, seen and ended (security TN-7): POST alone changes anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from fhir_server.oauth.emergency import (
    LONGEST_REASON,
    RESOURCE,
    SHORTEST_REASON,
    EmergencyRefused,
    Place,
    close_emergency,
    lasting_of,
    open_emergency,
    places_of,
)
from fhir_server.oauth.forms import read_pairs
from fhir_server.oauth.picking import Found, Picker, SearchRefused, find_patients
from fhir_server.oauth.service import Act, service_of
from fhir_server.oauth.sessions import PERSON, Presence, require_presence
from fhir_server.pages.flow import Fields
from fhir_server.pages.page import PageRefused, check_form, page, redirect, render
from fhir_server.pages.patients import FIELDS, asked_of, search_pairs

PATH: Final = "/emergency"
FORM: Final = "emergency"
DONE: Final[Mapping[str, str]] = {
    "opened": "Emergency access is open. Open your app and choose it where the app asks for the organization.",
    "ended": "Emergency access has ended.",
}
"""What was done, by the word in the address after it."""


@dataclass(frozen=True, slots=True)
class Typed:
    """What the form shows again."""

    organization: str = ""
    patient: str = ""
    reason: str = ""


async def show_emergency(request: Request) -> Response:
    """Show what lasts, and the form that opens another."""
    found, places = await _person(request)
    return await _page(request, found, places, done=DONE.get(request.query_params.get("done", ""), ""))


async def submit_emergency(request: Request) -> Response:
    """Search for a patient, take one into the form, or open emergency access."""
    found, places = await _person(request)
    fields = Fields(await read_pairs(request))
    check_form(request, dict(fields.pairs), FORM)
    typed = Typed(fields.one("organization"), fields.one("patient"), fields.one("reason"))
    place = _place(places, typed.organization)
    if "reason" not in dict(fields.pairs):
        return await _search(request, found, places, place, fields=fields, typed=typed)
    try:
        await open_emergency(request, found.user, place, typed.patient, typed.reason)
    except EmergencyRefused as error:
        return await _page(request, found, places, typed=typed, problem=str(error), status=422)
    return redirect(service_of(request).settings, f"{PATH}?done=opened")


async def submit_end(request: Request) -> Response:
    """End emergency access now."""
    found = await require_presence(request, back=PATH)
    fields = Fields(await read_pairs(request))
    check_form(request, dict(fields.pairs), FORM)
    if not await close_emergency(request, found.user, fields.one("emergency")):
        raise PageRefused(404, "This emergency access is over", "It ended before, or it was never yours.")
    return redirect(service_of(request).settings, f"{PATH}?done=ended")


async def _person(request: Request) -> tuple[Presence, tuple[Place, ...]]:
    """Return who asks, signed in within the last minutes, and where they may; raises SignInNeeded and PageRefused."""
    found = await require_presence(request, fresh=True, back=PATH)
    service = service_of(request)
    if service.settings.second_factor_roles and found.user.is_platform_admin and not found.user.mfa_enabled:
        raise PageRefused(403, "You need a second factor", "Set one up in your account, then sign in with it.")
    places = await places_of(service, found.user)
    if not places:
        denied = Act(found.user.id, PERSON, RESOURCE, "open", outcome="denied", status=403)
        await service.note(request, None, denied)
        raise PageRefused(403, "Emergency access is not for your role", "Ask the people of your organization.")
    return found, places


def _place(places: Sequence[Place], wanted: str) -> Place:
    if len(places) == 1 and not wanted:
        return places[0]
    found = next((each for each in places if each.organization_id == wanted), None)
    if found is None:
        raise PageRefused(403, "You cannot choose this organization", "You may not open emergency access in it.")
    return found


async def _search(
    request: Request, found: Presence, places: Sequence[Place], place: Place, *, fields: Fields, typed: Typed
) -> Response:
    """Show the patients that are searched for, to people whose role may search for them."""
    if typed.patient or place.membership is None:
        return await _page(request, found, places, typed=typed)
    asked, problem, patients = asked_of(fields), "", Found(())
    picker = Picker(found.user.id, place.membership, RESOURCE)
    try:
        patients = await find_patients(request, picker, search_pairs(asked), fields.one("cursor") or None)
    except SearchRefused as error:
        problem = str(error)
    status = 422 if problem else 200
    return await _page(
        request, found, places, typed=typed, problem=problem, status=status, patients=patients, asked=asked
    )


async def _page(
    request: Request,
    found: Presence,
    places: Sequence[Place],
    *,
    typed: Typed | None = None,
    done: str = "",
    problem: str = "",
    status: int = 200,
    patients: Found | None = None,
    asked: Mapping[str, str] | None = None,
) -> Response:
    service = service_of(request)
    names = {each.organization_id: each.name for each in places}
    lasting = [
        (each, names.get(each.organization_id, each.organization_id), _clock(each.expires_at))
        for each in await lasting_of(service, found.user)
    ]
    return render(
        request,
        "emergency.html",
        status,
        form=FORM,
        user=found.user,
        places=places,
        searching=[each for each in places if each.membership is not None],
        lasting=lasting,
        typed=typed or Typed(places[0].organization_id),
        done=done,
        problem=problem,
        found=patients,
        asked={name: (asked or {}).get(name, "") for name in FIELDS},
        shortest=SHORTEST_REASON,
        longest=LONGEST_REASON,
    )


def _clock(instant: int) -> str:
    return datetime.fromtimestamp(instant, UTC).strftime("%H:%M UTC")


ROUTES: Final = (
    page(PATH, show_emergency),
    page(PATH, submit_emergency, ("POST",)),
    page(f"{PATH}/end", submit_end, ("POST",)),
)

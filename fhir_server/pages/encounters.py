"""The encounter picker (`smart.md` §6 P2): the newest visits of the patient in context, or none of them."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from fhir_server.oauth.approval import picker_of
from fhir_server.oauth.deciding import Step
from fhir_server.oauth.picking import find_encounters, permitted_encounter, shown_patient
from fhir_server.oauth.transactions import choose
from fhir_server.pages.flow import PATH, Elsewhere, arrived, flow_page, sent, show

NONE: Final = "none"


async def pick_encounter(request: Request) -> Response:
    """Show the visits of the patient, or take the choice."""
    stand = await arrived(request, Step.ENCOUNTER)
    patient, launch = stand.patient, stand.pending.launch
    if patient is None or (launch is not None and launch.encounter is not None):
        raise Elsewhere(stand.pending.path)
    picker = picker_of(stand)
    if request.method != "POST":
        card = await shown_patient(request, picker, patient)
        encounters = await find_encounters(request, picker, patient)
        return show(request, "encounters.html", stand, Step.ENCOUNTER, patient=card, encounters=encounters)
    chosen = (await sent(request, stand, Step.ENCOUNTER)).one("encounter")
    if chosen == NONE:
        return await choose(request, stand, patient=patient, encounter="")
    await permitted_encounter(request, picker, patient, chosen)
    return await choose(request, stand, patient=patient, encounter=chosen)


ROUTES: Final = (flow_page(f"{PATH}/{Step.ENCOUNTER}", pick_encounter, ("GET", "POST")),)

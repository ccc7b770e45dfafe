"""The organization picker: for somebody who may use the app in several (settled §4.2)."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from fhir_server.oauth.deciding import Step
from fhir_server.oauth.service import service_of
from fhir_server.oauth.transactions import choose
from fhir_server.pages.flow import PATH, Elsewhere, arrived, flow_page, sent, show
from fhir_server.pages.page import PageRefused


async def pick_organization(request: Request) -> Response:
    """Show where the person may use the app, or take the choice."""
    stand = await arrived(request, Step.ORGANIZATION)
    if len(stand.memberships) == 1:
        raise Elsewhere(stand.pending.path)
    if request.method != "POST":
        return show(request, "organization.html", stand, Step.ORGANIZATION)
    chosen = (await sent(request, stand, Step.ORGANIZATION)).one("organization")
    if chosen not in {each.key for each in stand.memberships}:
        await service_of(request).note(request, None, stand.act("choose", outcome="denied", status=403))
        raise PageRefused(403, "You cannot choose this organization", "You have no role in it.")
    return await choose(request, stand, organization=chosen, patient=None, encounter=None)


ROUTES: Final = (flow_page(f"{PATH}/{Step.ORGANIZATION}", pick_organization, ("GET", "POST")),)

"""The page on which people see what they granted to which app, and take it back (`smart.md` V2, `management_endpoint`).

Withdrawing ends every token of the grant: refresh tokens at once, access tokens within the second in which workers look
revocations up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from fhir_server.oauth.forms import read_form, read_query
from fhir_server.oauth.patient_names import patient_names
from fhir_server.oauth.service import Act, service_of
from fhir_server.oauth.sessions import require_signed_in
from fhir_server.pages.page import check_form, page, redirect, render
from fhir_server.pages.plain_scopes import Line, describe_text
from fhir_server.pages.words import day, moment
from storage.authorization.grants import Grant
from storage.authorization.people import AppName, apps_called, roles_of
from storage.authorization.withdrawals import standing_grants, withdraw

APPS: Final = "apps"
Place = tuple[str, str, str | None]
"""Client, organization and patient: what belongs to them is withdrawn together."""


@dataclass(frozen=True, slots=True)
class Card:
    """What one app may do in one place; `grant_id` is any of the grants."""

    grant_id: str
    app: AppName
    organization: str
    patient: str
    lines: Sequence[Line]
    granted: str
    used: str
    until: str


async def show_apps(request: Request) -> Response:
    """List the apps that have access."""
    person = await require_signed_in(request)
    service, user_id = service_of(request), person.user.id
    async with service.database.platform_read() as connection:
        grants = await standing_grants(connection, user_id, service.seconds)
        apps = await apps_called(connection, {each.client_id for each in grants})
        organizations = {known: name for known, name, _ in await roles_of(connection, user_id)}
    names = await patient_names(request, person.user, grants)
    zone = service.settings.zone
    cards = []
    for place, alike in _by_place(grants).items():
        client_id, organization_id, patient = place
        cards.append(
            Card(
                grant_id=alike[0].id,
                app=apps[client_id],
                organization=organizations.get(organization_id, organization_id),
                patient=names.get((organization_id, patient), "") if patient else "",
                lines=describe_text(" ".join(each.scope for each in alike)),
                granted=day(min(each.created_at for each in alike), zone),
                used=moment(max(each.last_used_at for each in alike), zone),
                until=day(max(each.expires_at for each in alike), zone),
            )
        )
    withdrawn = read_query(request).get("done") == "withdrawn"
    return render(request, "apps.html", form=APPS, cards=cards, withdrawn=withdrawn)


def _by_place(grants: Sequence[Grant]) -> Mapping[Place, list[Grant]]:
    found: dict[Place, list[Grant]] = {}
    for each in grants:
        found.setdefault((each.client_id, each.organization_id, each.patient), []).append(each)
    return found


async def submit_withdrawal(request: Request) -> Response:
    """Take back what was granted to an app; somebody else's grant, or none, changes nothing."""
    fields = await read_form(request)
    check_form(request, fields, APPS)
    person = await require_signed_in(request)
    service, user = service_of(request), person.user
    async with service.acting(request, None) as unit:
        ended = await withdraw(unit.connection, user.id, fields.get("grant", ""), service.seconds)
        acts = [
            Act(
                user.id,
                each.role,
                "grant",
                "withdraw",
                action="delete",
                ids=(each.id,),
                client_id=each.client_id,
                patient=each.patient,
            )
            for each in ended
        ]
        if acts:
            await service.record(request, unit, *acts)
    return redirect(service.settings, "/account/apps?done=withdrawn" if ended else "/account/apps")


ROUTES: Final = (
    page("/account/apps", show_apps),
    page("/account/apps", submit_withdrawal, ("POST",)),
)

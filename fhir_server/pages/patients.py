"""The patient picker (`smart.md` §6 P1, §15): whom the app shall be about, among those whom the person may see.

Searches are POSTs, so that no name stands in an address.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from fhir_server.oauth.approval import picker_of
from fhir_server.oauth.deciding import Step
from fhir_server.oauth.picking import Found, Pairs, SearchRefused, find_patients, permitted_patient
from fhir_server.oauth.transactions import Standing, choose
from fhir_server.pages.flow import PATH, Elsewhere, Fields, arrived, flow_page, sent, show

FIELDS: Final = ("name", "birth_date", "number")
NOBODY: Final = Found(())
_ESCAPED: Final = re.compile(r"([\\,$|])")


async def pick_patient(request: Request) -> Response:
    """Show patients, search among them, or take the choice."""
    stand = await arrived(request, Step.PATIENT)
    if _is_settled(stand):
        raise Elsewhere(stand.pending.path)
    if request.method != "POST":
        return await _show(request, stand, {}, None)
    fields = await sent(request, stand, Step.PATIENT)
    patient = fields.one("patient")
    if patient:
        await permitted_patient(request, picker_of(stand), patient)
        return await choose(request, stand, patient=patient, encounter=None)
    return await _show(request, stand, asked_of(fields), fields.one("cursor") or None)


def _is_settled(stand: Standing) -> bool:
    """Say whether there is nothing to choose: the launch names the patient, or the person has but one record."""
    by_launch = stand.pending.launch is not None and stand.pending.launch.patient is not None
    return by_launch or (stand.chosen.is_patient and len(stand.chosen.own_patients) == 1)


async def _show(request: Request, stand: Standing, asked: Mapping[str, str], cursor: str | None) -> Response:
    alert = ""
    try:
        found = await find_patients(request, picker_of(stand), search_pairs(asked), cursor)
    except SearchRefused as error:
        found, alert = NOBODY, str(error)
    return show(request, "patients.html", stand, Step.PATIENT, 422 if alert else 200, **context(asked, found, alert))


def context(asked: Mapping[str, str], found: Found, alert: str) -> dict[str, object]:
    """Return what the list of patients is rendered from."""
    typed = {name: asked.get(name, "") for name in FIELDS}
    return {"typed": typed, "is_searched": any(typed.values()), "found": found, "alert": alert}


def asked_of(fields: Fields) -> dict[str, str]:
    """Return what was typed to search by."""
    return {name: fields.one(name) for name in FIELDS}


def search_pairs(asked: Mapping[str, str]) -> Pairs:
    """Return search parameters of what was typed: every word of a name, a birth date, a record number."""
    words = [("name", _ESCAPED.sub(r"\\\1", word)) for word in asked.get("name", "").split()]
    date, number = asked.get("birth_date", ""), _ESCAPED.sub(r"\\\1", asked.get("number", ""))
    return [*words, *([("birthdate", date)] if date else []), *([("identifier", number)] if number else [])]


ROUTES: Final = (flow_page(f"{PATH}/{Step.PATIENT}", pick_patient, ("GET", "POST")),)

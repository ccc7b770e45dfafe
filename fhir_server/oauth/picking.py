"""Patients and encounters that a person may choose: read and searched with that person's own access, never another way.

What is shown is in the audit like any other read (security AD-3, OA-13).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request

from fhir_server.access import BREAK_GLASS, Caller, authorise
from fhir_server.errors import RequestError
from fhir_server.fhir.parse.search import parse_search
from fhir_server.oauth.service import Act, OAuthService, service_of
from fhir_server.oauth.transactions import Membership
from fhir_server.pages.page import PageRefused
from storage.access import Access
from storage.codec import decode
from storage.errors import CursorExpired, CursorInvalid, InteractionForbidden, ResourceGone, ResourceNotFound
from storage.resources import ResourceKey

PAGE_LENGTH: Final = 10
LETTERS: Final = "rs"
NOT_YOURS: Final = "You cannot choose this patient"
Pairs = Sequence[tuple[str, str]]


class SearchRefused(Exception):
    """What was typed cannot be searched for; the message is for the person."""


@dataclass(frozen=True, slots=True)
class Picker:
    """A person who chooses on behalf of an app."""

    user_id: str
    membership: Membership
    client_id: str

    def access(self, patient: str | None = None) -> Access:
        """Return the person's access to patients and their encounters; of a patient's own record, to that one."""
        row = self.membership.row
        level = "patient" if self.membership.is_patient else "user"
        return authorise(
            Caller(
                subject=self.user_id,
                client_id=self.client_id,
                organization_id=row.organization_id,
                role=row.role,
                scope=f"{level}/Patient.{LETTERS} {level}/Encounter.{LETTERS}",
                token_id="authorization",  # noqa: S106 none is issued for it
                issued_at=0,
                expires_at=0,
                patient=(patient or "") if self.membership.is_patient else None,
                break_glass_id=self.membership.emergency_id,
            )
        )


@dataclass(frozen=True, slots=True)
class PatientCard:
    """What tells namesakes apart; texts are empty where nothing is known."""

    id: str
    name: str
    birth_date: str
    sex: str
    record_number: str


@dataclass(frozen=True, slots=True)
class EncounterCard:
    """A visit or stay."""

    id: str
    date: str
    kind: str
    place: str


@dataclass(frozen=True, slots=True)
class Found:
    """One page of patients; `cursor` is the place of the next one."""

    cards: tuple[PatientCard, ...]
    cursor: str | None = None


async def find_patients(request: Request, picker: Picker, pairs: Pairs, cursor: str | None = None) -> Found:
    """Return a page of patients whom the person may see and who fit; raises SearchRefused.

    Of one who acts for patients by name these are all, whatever is searched for.
    """
    service = service_of(request)
    if picker.membership.is_patient:
        own = [await _read_patient(service, picker, patient) for patient in picker.membership.own_patients]
        found = Found(tuple(card for card in own if card is not None))
    else:
        paging = [("_sort", "family"), ("_count", str(PAGE_LENGTH)), *([("_cursor", cursor)] if cursor else [])]
        bodies, place = await _search(service, picker.access(), "Patient", [*pairs, *paging])
        found = Found(tuple(map(patient_card, bodies)), place)
    shown = tuple(card.id for card in found.cards)
    await _note(request, picker, "Patient", shown, patients=shown)
    return found


async def find_encounters(request: Request, picker: Picker, patient: str) -> tuple[EncounterCard, ...]:
    """Return the newest encounters of a patient whom the person may see."""
    service = service_of(request)
    pairs = [("patient", f"Patient/{patient}"), ("_sort", "-date"), ("_count", str(PAGE_LENGTH * 2))]
    bodies, _ = await _search(service, picker.access(patient), "Encounter", pairs)
    cards = tuple(map(encounter_card, bodies))
    await _note(request, picker, "Encounter", tuple(card.id for card in cards), patient=patient)
    return cards


async def permitted_patient(request: Request, picker: Picker, patient: str) -> PatientCard:
    """Return a patient whom the person may choose; raises PageRefused for any other (§16: swapped in the form)."""
    service = service_of(request)
    if not picker.membership.is_patient or patient in picker.membership.own_patients:
        card = await _read_patient(service, picker, patient)
        if card is not None:
            return card
    denied = _act(picker, "Patient", (patient,), patient=patient, outcome="denied", status=403)
    await service.note(request, picker.membership.row.organization_id, denied)
    raise PageRefused(403, NOT_YOURS, "It does not exist, or you may not see it.")


async def shown_patient(request: Request, picker: Picker, patient: str) -> PatientCard:
    """Return a patient in context to be shown; raises PageRefused as `permitted_patient` does."""
    card = await permitted_patient(request, picker, patient)
    await _note(request, picker, "Patient", (patient,), patient=patient)
    return card


async def permitted_encounter(request: Request, picker: Picker, patient: str, encounter: str) -> EncounterCard:
    """Return an encounter of the patient that the person may see; raises PageRefused for any other (L6)."""
    service = service_of(request)
    body = await _read(service, picker.access(patient), "Encounter", encounter)
    if body is None or body.get("subject", {}).get("reference") != f"Patient/{patient}":
        denied = _act(picker, "Encounter", (encounter,), patient=patient, outcome="denied", status=403)
        await service.note(request, picker.membership.row.organization_id, denied)
        raise PageRefused(403, "You cannot choose this visit", "It does not exist, or it is another patient's.")
    return encounter_card(body)


def patient_card(body: Any) -> PatientCard:
    """Return what the picker shows of a Patient."""
    names = body.get("name", [])
    name = next((each for each in names if each.get("use") in {"official", "usual"}), names[0] if names else {})
    text = name.get("text") or " ".join((*name.get("given", ()), name.get("family", ""))).strip()
    numbers = [each for each in body.get("identifier", ()) if each.get("value")]
    medical = [each for each in numbers if "MR" in _codes(each.get("type", {}))]
    number = next((str(each["value"]) for each in (*medical, *numbers)), "")
    return PatientCard(body["id"], text or "Without a name", body.get("birthDate", ""), body.get("gender", ""), number)


def encounter_card(body: Any) -> EncounterCard:
    """Return what the picker shows of an Encounter."""
    kinds = [_words(each) for each in body.get("type", ())] + [_words({"coding": [body.get("class", {})]})]
    places = [each.get("location", {}).get("display", "") for each in body.get("location", ())]
    places.append(body.get("serviceProvider", {}).get("display", ""))
    date = body.get("period", {}).get("start", "")[:16].replace("T", " ")
    return EncounterCard(body["id"], date, next(filter(None, kinds), ""), next(filter(None, places), ""))


def _codes(concept: Any) -> set[str]:
    return {each.get("code", "") for each in concept.get("coding", ())}


def _words(concept: Any) -> str:
    codings = [each.get("display") or each.get("code") or "" for each in concept.get("coding", ())]
    return str(concept.get("text") or next(filter(None, codings), ""))


async def _read_patient(service: OAuthService, picker: Picker, patient: str) -> PatientCard | None:
    body = await _read(service, picker.access(patient), "Patient", patient)
    return None if body is None else patient_card(body)


async def _read(service: OAuthService, access: Access, resource_type: str, resource_id: str) -> Any:
    try:
        return decode((await service.store.read(ResourceKey(resource_type, resource_id), access)).body)
    except (ResourceNotFound, ResourceGone, InteractionForbidden):
        return None


async def _search(
    service: OAuthService, access: Access, resource_type: str, pairs: Pairs
) -> tuple[list[Any], str | None]:
    settings = service.settings
    try:
        parsed = parse_search(resource_type, pairs, strict=True, base_url=settings.fhir_base, zone=settings.zone)
        page = await service.searcher.search(parsed.search, access)
    except InteractionForbidden:  # a role without patients: there is nobody to choose
        return [], None
    except (RequestError, CursorInvalid, CursorExpired):
        raise SearchRefused("This cannot be searched for. Check what you typed.") from None
    return [decode(version.body) for version in page.matches], page.next_cursor


def _act(picker: Picker, resource: str, ids: Sequence[str], **more: Any) -> Act:
    purpose = BREAK_GLASS if picker.membership.emergency_id else None
    named = {"action": "read", "client_id": picker.client_id, "ids": ids, "purpose": purpose} | more
    return Act(picker.user_id, picker.membership.row.role, resource, "search-type", **named)


async def _note(request: Request, picker: Picker, resource: str, ids: Sequence[str], **more: Any) -> None:
    await service_of(request).note(
        request, picker.membership.row.organization_id, _act(picker, resource, ids, status=200, **more)
    )

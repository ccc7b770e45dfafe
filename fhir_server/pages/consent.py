"""The consent page (`smart.md` §15, C8): what the app may do, in plain language, each part to be ticked or not.

The form only chooses among what the stored request allows; its token is bound to what was shown.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from capability.smart import Category
from fhir_server.oauth.approval import DAY_SECONDS, approve, deny, picker_of
from fhir_server.oauth.consent import IDENTITY, IDENTITY_WORDS, STAY, STAY_WORDS, Part, Unticked, agreed, parts_of
from fhir_server.oauth.deciding import Step
from fhir_server.oauth.logos import is_embedded
from fhir_server.oauth.picking import shown_patient
from fhir_server.oauth.scopes import ANY_TYPE
from fhir_server.oauth.service import service_of
from fhir_server.oauth.transactions import Standing
from fhir_server.pages.flow import PATH, Fields, arrived, flow_page, sent, show
from fhir_server.pages.page import PageRefused
from fhir_server.pages.plain_scopes import Kind, describe
from fhir_server.settings import Settings
from storage.authorization.opaque import digest
from storage.repositories.entities import Client

APPROVE: Final = "approve"
DENY: Final = "deny"
TITLES: Final[Mapping[Kind, str]] = {Kind.READ: "See", Kind.CHANGE: "Add and change", Kind.DELETE: "Delete"}


@dataclass(frozen=True, slots=True)
class Box:
    """One line with a box; `categories` are boxes by which it can be narrowed, each with whether it is ticked."""

    value: str
    number: int
    text: str
    required: bool
    ticked: bool
    is_wide: bool
    categories: tuple[tuple[Category, bool], ...] = ()


@dataclass(frozen=True, slots=True)
class Ticks:
    """What was ticked: values of boxes, and codes of categories by number of the scope; None: nothing was sent yet."""

    boxes: Collection[str] | None
    narrowed: Mapping[int, Collection[str]]

    def has(self, value: str) -> bool:
        """Say whether a box is ticked; on a new page every one is."""
        return self.boxes is None or value in self.boxes


NEW: Final = Ticks(None, {})


async def ask_consent(request: Request) -> Response:
    """Show what the app asks for, or take the answer."""
    stand = await arrived(request, Step.CONSENT)
    if request.method != "POST":
        return await _show(request, stand, NEW, "")
    fields = await sent(request, stand, _form(stand))
    if fields.one("decision") == DENY:
        return await deny(request, stand)
    if fields.one("decision") != APPROVE:
        raise PageRefused(400, "This answer cannot be used", "Go back and press one of the two buttons.")
    parts = parts_of(stand.offered, _required(stand))
    ticks = _ticks(fields, parts)
    try:
        words = agreed(stand.offered, _required(stand), ticks.boxes or (), ticks.narrowed)
    except Unticked as error:
        return await _show(request, stand, ticks, str(error))
    return await approve(request, stand, words)


def _form(stand: Standing) -> str:
    """Return the name of the form: it holds for what was shown, and for nobody and nothing else."""
    shown = (stand.user.id, stand.chosen.key, stand.patient, stand.encounter, *stand.offered)
    return f"{Step.CONSENT} {digest(repr(shown))}"


def _required(stand: Standing) -> frozenset[str]:
    return frozenset(stand.pending.client.required_scope.split())


def _ticks(fields: Fields, parts: tuple[Part, ...]) -> Ticks:
    """Return what was ticked; raises PageRefused for boxes that the page did not have (§16: a form that grew)."""
    known = {part.value for part in parts} | {IDENTITY, STAY}
    boxes = frozenset(fields.every("scope"))
    narrowed = {part.number: frozenset(fields.every(f"only-{part.number}")) for part in parts if part.categories}
    codes = {part.number: {category.code for category in part.categories} for part in parts if part.categories}
    if not boxes <= known or any(not chosen <= codes[number] for number, chosen in narrowed.items()):
        raise PageRefused(403, "This answer cannot be used", "It holds what the app did not ask for.")
    return Ticks(boxes, narrowed)


async def _show(request: Request, stand: Standing, ticks: Ticks, alert: str) -> Response:
    patient = None
    if stand.patient is not None:
        patient = await shown_patient(request, picker_of(stand), stand.patient)
    client, required = stand.pending.client, _required(stand)
    parts = parts_of(stand.offered, required)
    lines = describe((), stand.offered)
    return show(
        request,
        "consent.html",
        stand,
        _form(stand),
        422 if alert else 200,
        alert=alert,
        client=client,
        logo=client.logo_uri if is_embedded(client.logo_uri) else None,
        returns_to=_host(stand.pending.parameters.redirect_uri),
        patient=patient,
        can_change_patient=patient is not None and _can_change_patient(stand),
        groups=[(kind, TITLES[kind], group) for kind in TITLES if (group := _boxes(parts, kind, ticks))],
        identity=[line.text for line in lines if line.kind is Kind.IDENTITY],
        identity_ticked=ticks.has(IDENTITY),
        identity_required=bool(required & IDENTITY_WORDS),
        stay=[line.text for line in lines if line.kind is Kind.OFFLINE],
        stay_for=_duration(service_of(request).settings, client) if "offline_access" in stand.offered else "",
        stay_ticked=ticks.has(STAY),
        stay_required=bool(required & STAY_WORDS),
    )


def _boxes(parts: tuple[Part, ...], kind: Kind, ticks: Ticks) -> list[Box]:
    return [
        Box(
            part.value,
            part.number,
            describe((part.scope,))[0].text,
            part.required,
            ticks.has(part.value),
            part.scope.resource_type == ANY_TYPE,
            tuple((category, category.code in ticks.narrowed.get(part.number, ())) for category in part.categories),
        )
        for part in parts
        if part.kind is kind
    ]


def _duration(settings: Settings, client: Client) -> str:
    """Say how long an app keeps its access while nobody is there (F6)."""
    idle = (client.refresh_token_ttl or settings.refresh_token_idle_days * DAY_SECONDS) // DAY_SECONDS
    unused = f"{idle} days" if idle > 1 else "a day"
    return f"It ends after {unused} without use, and after {settings.refresh_token_days} days in any case."


def _can_change_patient(stand: Standing) -> bool:
    by_launch = stand.pending.launch is not None and stand.pending.launch.patient is not None
    return not by_launch and not (stand.chosen.is_patient and len(stand.chosen.own_patients) == 1)


def _host(redirect_uri: str) -> str:
    """Return where the app is, as people know addresses; of an app on the device the scheme that opens it."""
    parts = urlsplit(redirect_uri)
    return parts.netloc or f"an app on this device ({parts.scheme})"


ROUTES: Final = (flow_page(f"{PATH}/{Step.CONSENT}", ask_consent, ("GET", "POST")),)

"""Launches from an EHR: who may mint one, what context it carries, and where the browser goes (`smart.md` §5).

A launch is for one client and one person, is used once within five minutes, and says nothing by itself: the id is
random, and what it stands for is read again with the person's own access when the app asks for authorization.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import Response

from fhir_server.access import SERVICE
from fhir_server.oauth.endpoints import answer
from fhir_server.oauth.errors import AccessDenied, InvalidRequest
from fhir_server.oauth.forms import read_body
from fhir_server.oauth.operator import RESOURCE_ID
from fhir_server.oauth.picking import Picker, permitted_encounter, permitted_patient
from fhir_server.oauth.service import Act, OAuthService, service_of
from fhir_server.oauth.strict_json import decode_object
from fhir_server.oauth.styles import style_address
from fhir_server.oauth.transactions import Membership, memberships_of
from fhir_server.pages.page import PageRefused
from storage.access import Access
from storage.authorization.launches import LAUNCH_SECONDS, Launch, add_launch
from storage.authorization.opaque import digest, new_opaque
from storage.errors import InteractionForbidden, ResourceGone, ResourceNotFound
from storage.repositories.entities import Client, User
from storage.repositories.platform import ClientRepository, UserRepository
from storage.resources import ResourceKey

MAXIMUM_TEXT: Final = 1024
MOST_CONTEXT: Final = 100
TEXTS: Final = ("client_id", "user", "patient", "encounter", "launch_url", "intent", "tenant", "smart_style_url")
MEMBERS: Final = frozenset({*TEXTS, "need_patient_banner", "fhirContext"})
NAMING: Final = ("reference", "canonical", "identifier")
TITLE: Final = "This app cannot be opened"
NO_LAUNCH: Final = "The app is not known here, or it registered no launch address."
NOT_FOUND: Final = "The patient or encounter is not known, or may not be seen."


@dataclass(frozen=True, slots=True)
class LaunchRequest:
    """What a launch shall carry. `launch_url` is one of those that the client registered, by default the first."""

    client_id: str
    patient: str | None = None
    encounter: str | None = None
    launch_url: str | None = None
    context: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Minted:
    """A launch id, and the address at which the app takes it."""

    launch: str
    url: str


def launch_request(document: Mapping[str, Any], style_url: str) -> LaunchRequest:
    """Return what a JSON object asks for; raises InvalidRequest."""
    if not set(document) <= MEMBERS:
        raise InvalidRequest(f"Send a JSON object with {', '.join(sorted(MEMBERS))} alone.")
    texts = {name: document[name] for name in TEXTS if document.get(name) is not None}
    if not all(isinstance(text, str) and 0 < len(text) <= MAXIMUM_TEXT for text in texts.values()):
        raise InvalidRequest(f"{', '.join(TEXTS)} are texts.")
    if "client_id" not in texts:
        raise InvalidRequest("client_id is missing.")
    if not all(RESOURCE_ID.match(texts[name]) for name in ("patient", "encounter") if name in texts):
        raise InvalidRequest("patient and encounter are ids without a type.")
    if "encounter" in texts and "patient" not in texts:
        raise InvalidRequest("An encounter needs its patient.")
    return LaunchRequest(
        texts["client_id"],
        texts.get("patient"),
        texts.get("encounter"),
        texts.get("launch_url"),
        _context(document, texts, style_url),
    )


def _context(document: Mapping[str, Any], texts: Mapping[str, str], style_url: str) -> dict[str, Any]:
    """Return what the token response says beside patient and encounter (T13, L7)."""
    banner = document.get("need_patient_banner", True)
    if not isinstance(banner, bool):
        raise InvalidRequest("need_patient_banner is true or false.")
    style = texts.get("smart_style_url", style_url)
    if not _is_web_address(style):
        raise InvalidRequest("smart_style_url is an absolute address.")
    context: dict[str, Any] = {"need_patient_banner": banner, "smart_style_url": style}
    context |= {name: texts[name] for name in ("intent", "tenant") if name in texts}
    entries = document.get("fhirContext")
    if entries is not None:
        if not isinstance(entries, list) or len(entries) > MOST_CONTEXT or not all(map(_is_context, entries)):
            raise InvalidRequest("fhirContext is a list of objects with reference, canonical or identifier.")
        context["fhirContext"] = entries
    return context


def _is_web_address(address: str) -> bool:
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    return parts.scheme in {"https", "http"} and bool(parts.netloc)


def _is_context(entry: Any) -> bool:
    """Say whether an entry of `fhirContext` is one (T13): Patient and Encounter need a role of their own."""
    if not isinstance(entry, dict) or not any(name in entry for name in NAMING):
        return False
    if not all(isinstance(entry.get(name, ""), str) for name in ("reference", "canonical", "type", "role")):
        return False
    if entry.get("role") == "" or not isinstance(entry.get("identifier", {}), dict):
        return False
    if "reference" not in entry:
        return True
    resource_type, _, resource_id = entry["reference"].partition("/")
    if not resource_type.isalpha() or not RESOURCE_ID.match(resource_id):
        return False
    return resource_type not in {"Patient", "Encounter"} or entry.get("role", "launch") != "launch"


def can_launch(client: Client, organization_id: str) -> bool:
    """Say whether an app can be launched in an organization: it is active, there, and told where it wants to be."""
    return client.is_active and bool(client.launch_uris) and client.organization_id in (None, organization_id)


async def mint(
    request: Request, asked: LaunchRequest, user: User, membership: Membership, act: Act | None = None
) -> Minted:
    """Keep a launch for a person and an app.

    Raises PageRefused for an app that cannot be launched there, and for a patient or an encounter that the person may
    not see. `act` says who does it when that is not the person.
    """
    service, row = service_of(request), membership.row
    async with service.database.platform_read() as connection:
        client = await ClientRepository(connection).find(asked.client_id)
    if client is None or not can_launch(client, row.organization_id):
        raise PageRefused(400, TITLE, NO_LAUNCH)
    address = asked.launch_url or client.launch_uris[0]
    if address not in client.launch_uris:
        raise PageRefused(400, TITLE, "The app did not register this launch address.")
    picker = Picker(user.id, membership, client.id)
    if asked.patient is not None:
        await permitted_patient(request, picker, asked.patient)
        if asked.encounter is not None:
            await permitted_encounter(request, picker, asked.patient, asked.encounter)
    launch, now = new_opaque(), service.seconds
    kept = Launch(
        id=digest(launch),
        client_id=client.id,
        user_id=user.id,
        organization_id=row.organization_id,
        patient=asked.patient,
        encounter=asked.encounter,
        context=asked.context,
        created_at=now,
        expires_at=now + LAUNCH_SECONDS,
    )
    told = act or Act(user.id, row.role, "launch", "create", client_id=client.id, patient=asked.patient, status=303)
    async with service.acting(request, row.organization_id, told) as unit:
        await add_launch(unit.connection, kept)
    return Minted(launch, _launch_address(address, service.settings.fhir_base, launch))


def _launch_address(address: str, base: str, launch: str) -> str:
    joined = "&" if "?" in address else "?"
    return f"{address}{joined}{urlencode({'iss': base, 'launch': launch}, safe='', quote_via=quote)}"


async def launch_by_token(request: Request) -> Response:
    """Mint a launch for a person on behalf of an EHR that is a backend client (L1); 201 with the address to open."""
    service = service_of(request)
    access = await service.authenticator.access(request.scope["headers"], request.scope["query_string"])
    if access.role != SERVICE:
        raise AccessDenied("Only a backend client may launch apps for people.")
    document = await _document(request)
    asked = launch_request(document, style_address(service.settings))
    await _check_patient(service, asked, access)
    user, membership = await _person(service, str(document.get("user", "")), access.organization_id)
    act = Act(access.actor, SERVICE, "launch", "create", client_id=access.client_id, patient=asked.patient, status=201)
    try:
        minted = await mint(request, asked, user, membership, act)
    except PageRefused as error:
        raise InvalidRequest(NOT_FOUND if error.status == 403 else error.message) from None
    return answer({"launch": minted.launch, "url": minted.url, "expires_in": LAUNCH_SECONDS}, 201)


async def _document(request: Request) -> dict[str, Any]:
    try:
        return decode_object(await read_body(request, "application/json"))
    except ValueError:
        raise InvalidRequest("Send one JSON object in which each name stands once.") from None


async def _check_patient(service: OAuthService, asked: LaunchRequest, access: Access) -> None:
    """Refuse a patient whom the backend client may not read itself: no launch shall tell it who exists."""
    if asked.patient is not None:
        try:
            await service.store.read(ResourceKey("Patient", asked.patient), access)
        except (ResourceNotFound, ResourceGone, InteractionForbidden):
            raise InvalidRequest(NOT_FOUND) from None


async def _person(service: OAuthService, named: str, organization_id: str) -> tuple[User, Membership]:
    """Return the person whom a launch is for, by id or e-mail address; it is bound to that one (OA-13)."""
    async with service.database.platform_read() as connection:
        users = UserRepository(connection)
        user = await users.find(named) or await users.by_email(named)
    found = await memberships_of(service, user.id, organization_id) if user is not None and user.is_active else ()
    if user is None or not found:
        raise InvalidRequest("user has to be the id or e-mail address of somebody in the client's organization.")
    return user, found[0]

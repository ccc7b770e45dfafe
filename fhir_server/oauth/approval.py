"""What a person agreed to becomes a grant and a code (`smart.md` A10, OA-4), and is remembered."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from fhir_server.oauth.authorization_checks import Rejected, answer_address, is_private_use
from fhir_server.oauth.deciding import covers, needs_patient
from fhir_server.oauth.picking import Picker, permitted_encounter, permitted_patient
from fhir_server.oauth.service import service_of
from fhir_server.oauth.transactions import START_AGAIN, Standing, reject
from fhir_server.pages.page import PageRefused, redirect
from storage.authorization.codes import CODE_SECONDS, NewCode, add_code
from storage.authorization.consents import earlier_grants
from storage.authorization.grants import Grant, add_grant
from storage.authorization.opaque import digest, new_opaque
from storage.authorization.requests import finish_request
from storage.grants import LONGEST_TOKEN_SECONDS
from storage.tables.enums import ClientType

DAY_SECONDS: Final = 86_400


def picker_of(stand: Standing) -> Picker:
    """Return the person as one who chooses patients for the app."""
    return Picker(stand.user.id, stand.chosen, stand.pending.client.id)


async def is_remembered(request: Request, stand: Standing) -> bool:
    """Say whether the person agreed to all of it before, to the same app for the same patient (`smart.md` §15).

    An app that any other app of the device could pose as is never let through without a click, nor is one that asks for
    the page.
    """
    service, client = service_of(request), stand.pending.client
    days = service.settings.remembered_consent_days
    poses = client.type == ClientType.PUBLIC and is_private_use(stand.pending.parameters.redirect_uri)
    if not days or poses or stand.chosen.emergency_id or "consent" in stand.pending.parameters.prompt:
        return False
    async with service.database.platform_read() as connection:
        before = await earlier_grants(
            connection,
            client_id=client.id,
            user_id=stand.user.id,
            organization_id=stand.chosen.row.organization_id,
            patient=stand.patient,
            since=service.seconds - days * DAY_SECONDS,
        )
    return any(covers(each.scope, stand.offered) for each in before)


async def approve(request: Request, stand: Standing, words: tuple[str, ...]) -> Response:
    """End the request with a grant of the scopes and a code for it: one transaction, once.

    Patient and encounter are read once more with the person's own access. Raises PageRefused.
    """
    service, pending = service_of(request), stand.pending
    patient, encounter = stand.patient, stand.encounter or None
    if patient is not None:
        await permitted_patient(request, picker_of(stand), patient)
        if encounter is not None:
            await permitted_encounter(request, picker_of(stand), patient, encounter)
    now, code = service.seconds, new_opaque()
    grant = _grant(stand, words, service.database.ids.uuid7(), now)
    act = stand.act("authorize", ids=(grant.id,), grant_id=grant.id, status=303)
    async with service.acting(request, grant.organization_id, act) as unit:
        if not await finish_request(unit.connection, pending.stored.id, pending.stored.browser or "", now):
            raise PageRefused(409, "This request was answered already", START_AGAIN)
        await add_grant(unit.connection, grant)
        await add_code(unit.connection, _code(stand, code, grant, now))
    fields = {"code": code, "state": pending.parameters.state}
    address = answer_address(pending.parameters.redirect_uri, fields, service.settings.base_url)
    return redirect(service.settings, address)


async def deny(request: Request, stand: Standing) -> Response:
    """End the request, because the person refused; raises PageRefused."""
    act = stand.act("authorize", outcome="denied", status=303)
    return await reject(request, stand.pending, _denied(stand), act)


def _denied(stand: Standing) -> Rejected:
    return stand.pending.rejected("access_denied", "The person refused.")


def _grant(stand: Standing, words: tuple[str, ...], grant_id: str, now: int) -> Grant:
    chosen, launch = stand.chosen, stand.pending.launch
    is_about_one = launch is not None or needs_patient(words, own=chosen.is_patient)  # all else may be unticked
    return Grant(
        id=grant_id,
        client_id=stand.pending.client.id,
        user_id=stand.user.id,
        organization_id=chosen.row.organization_id,
        role=chosen.row.role,
        scope=" ".join(words),
        patient=stand.patient if is_about_one else None,
        encounter=(stand.encounter or None) if is_about_one else None,
        fhir_user=chosen.fhir_user if "fhirUser" in words else None,
        context=dict(launch.context) if launch else {},
        break_glass_id=chosen.emergency_id,
        session_id=stand.person.session_id if "online_access" in words else None,
        authenticated_at=stand.person.authenticated_at,
        created_at=now,
        last_used_at=now,
        expires_at=now + CODE_SECONDS + LONGEST_TOKEN_SECONDS,  # put off with every token of it
    )


def _code(stand: Standing, code: str, grant: Grant, now: int) -> NewCode:
    asked = stand.pending.parameters
    return NewCode(
        code=digest(code),
        grant_id=grant.id,
        client_id=grant.client_id,
        redirect_uri=asked.redirect_uri,
        code_challenge=asked.code_challenge,
        expires_at=now + CODE_SECONDS,
        nonce=asked.nonce,
        max_age=asked.max_age is not None,
    )

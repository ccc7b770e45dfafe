"""The page of the second factor: set it up, get recovery codes, turn it off (security AU-4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from fhir_server.oauth.forms import read_form, read_query
from fhir_server.oauth.one_time import SETTING_UP, as_text, otpauth_address, qr_code, secret_for
from fhir_server.oauth.second_factor import CodeRefused, new_codes, turn_off, turn_on
from fhir_server.oauth.service import service_of
from fhir_server.oauth.sessions import FRESH_SECONDS, SET_UP, Presence, Stage, is_fresh, presence
from fhir_server.pages.browser import browser_of, set_browser
from fhir_server.pages.page import PageRefused, SignInNeeded, check_form, local_path, page, redirect, render

SECOND_FACTOR: Final = "second-factor"
SET_UP_SECONDS: Final = 900
"""How long after signing in a set-up may be completed: finding and installing an app takes a while."""


async def _person(request: Request, next_path: str, seconds: int = FRESH_SECONDS) -> Presence:
    """Return who is signed in, freshly; somebody who has to set the second factor up is welcome."""
    found = await presence(request)
    back = f"{SET_UP}?{urlencode({'next': next_path})}"
    if found is None or found.stage is Stage.CODE:
        raise SignInNeeded(back)
    if not is_fresh(request, found, seconds):
        raise SignInNeeded(back, fresh=True)
    return found


async def show(request: Request) -> Response:
    """Offer to set the second factor up, or show that it is on."""
    next_path = local_path(read_query(request).get("next"))
    found = await _person(request, next_path)
    return _page(request, found, next_path)


def _page(request: Request, found: Presence, next_path: str, problem: str = "", status: int = 200) -> Response:
    settings, user = service_of(request).settings, found.user
    template, offered = "second_factor.html", {}
    if not user.mfa_enabled:
        secret = _offered(request, found)
        template = "set_up.html"
        offered = {
            "picture": qr_code(otpauth_address(secret, settings.site_name, user.email)),
            "secret": as_text(secret),
        }
    required = not settings.second_factor_roles.isdisjoint(each.role for each in found.memberships)
    return render(
        request,
        template,
        status,
        form=SECOND_FACTOR,
        next_path=next_path,
        required=required,
        left=len(user.backup_codes),
        problem=problem,
        **offered,
    )


def _offered(request: Request, found: Presence) -> bytes:
    return secret_for(service_of(request).settings.derive(SETTING_UP), browser_of(request) or "", found.user.id)


async def submit_set_up(request: Request) -> Response:
    """Turn the second factor on and show the recovery codes, once."""
    fields = await read_form(request)
    check_form(request, fields, SECOND_FACTOR)
    next_path = local_path(fields.get("next"))
    found = await _person(request, next_path, SET_UP_SECONDS)
    if found.user.mfa_enabled:
        raise PageRefused(409, "The second factor is on already", "Go back to your account.")
    try:
        browser, codes = await turn_on(request, found, _offered(request, found), fields.get("code", ""))
    except CodeRefused:
        return _page(request, found, next_path, "The code is not right. Wait for the next one and try again.", 400)
    response = _codes_page(request, codes, next_path)
    set_browser(response, service_of(request).settings, browser)
    return response


def _codes_page(request: Request, codes: Sequence[str], next_path: str) -> Response:
    return render(request, "recovery_codes.html", codes=codes, next_path=next_path)


async def submit_codes(request: Request) -> Response:
    """Give new recovery codes in the place of the old ones."""
    fields = await read_form(request)
    check_form(request, fields, SECOND_FACTOR)
    found = await _person(request, "/account")
    try:
        return _codes_page(request, await new_codes(request, found), "/account")
    except CodeRefused:
        return _page(request, found, "/account", "Your recovery codes changed meanwhile. Try again.", 409)


async def submit_off(request: Request) -> Response:
    """Turn the second factor off."""
    fields = await read_form(request)
    check_form(request, fields, SECOND_FACTOR)
    found = await _person(request, "/account")
    browser = await turn_off(request, found)
    settings = service_of(request).settings
    response = redirect(settings, "/account?done=second-factor-off")
    set_browser(response, settings, browser)
    return response


ROUTES: Final = (
    page(SET_UP, show),
    page(SET_UP, submit_set_up, ("POST",)),
    page(f"{SET_UP}/codes", submit_codes, ("POST",)),
    page(f"{SET_UP}/off", submit_off, ("POST",)),
)

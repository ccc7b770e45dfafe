"""The account page: who somebody is here, their password and their way out (security AU-1, AU-5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from fhir_server.oauth.errors import TooManyAttempts
from fhir_server.oauth.forms import read_form, read_query
from fhir_server.oauth.password_change import WrongPassword, change_password
from fhir_server.oauth.passwords import LONGEST, SHORTEST, PasswordRefused
from fhir_server.oauth.service import service_of
from fhir_server.oauth.sessions import Presence, require_presence
from fhir_server.pages.browser import browser_of, form_token, set_browser
from fhir_server.pages.page import check_form, page, redirect, render
from fhir_server.pages.sign_in import SIGN_OUT
from fhir_server.pages.words import duration
from storage.authorization.people import roles_of

ACCOUNT: Final = "account"
ROLES: Final[Mapping[str, str]] = {
    "ORG_ADMIN": "Administrator",
    "CLINICIAN": "Clinician",
    "NURSE": "Nurse",
    "BILLING": "Billing",
    "STAFF": "Staff",
    "SUPPORT": "Support",
    "AUDITOR": "Auditor",
    "PATIENT": "Patient",
}
DONE: Final[Mapping[str, str]] = {
    "password": "Your password is changed. Everywhere else you are signed out.",
    "second-factor-off": "The second factor is turned off.",
}
"""What was done, by the word in the address after it."""


async def show_account(request: Request) -> Response:
    """Show who somebody is here."""
    found = await require_presence(request)
    return await _page(request, found, done=DONE.get(read_query(request).get("done", ""), ""))


async def _page(request: Request, found: Presence, *, done: str = "", problem: str = "", status: int = 200) -> Response:
    service = service_of(request)
    async with service.database.platform_read() as connection:
        roles = await roles_of(connection, found.user.id)
    return render(
        request,
        "account.html",
        status,
        form=ACCOUNT,
        user=found.user,
        roles=[(name, ROLES.get(role, role)) for _, name, role in roles],
        codes_left=len(found.user.backup_codes),
        sign_out_token=form_token(service.settings, browser_of(request) or "", SIGN_OUT),
        shortest=SHORTEST,
        longest=LONGEST,
        done=done,
        problem=problem,
    )


async def submit_password(request: Request) -> Response:
    """Change the password."""
    fields = await read_form(request)
    check_form(request, fields, ACCOUNT)
    found = await require_presence(request, back="/account")
    if fields.get("new", "") != fields.get("again", ""):
        return await _page(request, found, problem="The new password was not typed the same twice.", status=400)
    try:
        browser = await change_password(request, found, fields.get("present", ""), fields.get("new", ""))
    except WrongPassword:
        return await _page(request, found, problem="Your present password is not right.", status=403)
    except PasswordRefused as error:
        return await _page(request, found, problem=str(error), status=400)
    except TooManyAttempts as error:
        problem = f"Too many attempts. Try again in {duration(error.retry_after)}."
        response = await _page(request, found, problem=problem, status=error.status)
        response.headers.update(error.headers)
        return response
    settings = service_of(request).settings
    response = redirect(settings, "/account?done=password")
    set_browser(response, settings, browser)
    return response


ROUTES: Final = (
    page("/account", show_account),
    page("/account/password", submit_password, ("POST",)),
)

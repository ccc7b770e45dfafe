"""The pages of signing in and out (`smart.md` §15 login, after logout; security AU-2, AU-5, AU-6)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from fhir_server.oauth.errors import TooManyAttempts
from fhir_server.oauth.forms import read_form, read_query
from fhir_server.oauth.password_sign_in import user_by_password
from fhir_server.oauth.second_factor import CodeRefused, NoTriesLeft, give_code
from fhir_server.oauth.service import service_of
from fhir_server.oauth.sessions import (
    Stage,
    next_step,
    presence,
    sign_out,
    start_session,
)
from fhir_server.oauth.transactions import asking
from fhir_server.pages.browser import set_browser
from fhir_server.pages.external_sign_in import providers_to_sign_in_with
from fhir_server.pages.page import SignInNeeded, check_form, local_path, page, redirect, render
from fhir_server.pages.words import duration
from storage.repositories.entities import Client

SIGN_IN: Final = "sign-in"
CODE: Final = "code"
SIGN_OUT: Final = "sign-out"
WRONG: Final = "The e-mail address or the password is not right."
WRONG_CODE: Final = "The code is not right, or was used before."
_TRANSACTION: Final = re.compile(r"/authorize/([A-Za-z0-9_-]{43})\Z")


@dataclass(frozen=True, slots=True)
class Asking:
    """The app for which somebody signs in, where it takes the browser in the end, and whom it expects."""

    client: Client | None = None
    address: str | None = None
    hint: str = ""


async def asking_for(request: Request, next_path: str) -> Asking:
    """Return which app waits at an address, in this browser."""
    match = _TRANSACTION.match(next_path)
    pending = await asking(request, match[1]) if match is not None else None
    if pending is None:
        return Asking()
    return Asking(pending.client, pending.parameters.redirect_uri, pending.parameters.login_hint or "")


async def show_sign_in(request: Request) -> Response:
    """Ask who it is, unless that is known and no fresh answer is wanted."""
    query = read_query(request)
    next_path = local_path(query.get("next"))
    fresh = query.get("fresh") == "1"
    found = None if fresh else await presence(request)
    if found is not None:
        return redirect(service_of(request).settings, next_step(found.stage, next_path))
    return await _sign_in_page(request, next_path, fresh=fresh)


async def _sign_in_page(
    request: Request, next_path: str, *, fresh: bool = False, email: str = "", problem: str = "", status: int = 200
) -> Response:
    app = await asking_for(request, next_path)
    return render(
        request,
        "sign_in.html",
        status,
        form=SIGN_IN,
        goes_to=app.address,
        client=app.client,
        providers=providers_to_sign_in_with(request),
        way_on=urlencode({"next": next_path} | ({"fresh": "1"} if fresh else {})),
        next_path=next_path,
        fresh=fresh,
        email=email or app.hint,
        problem=problem,
    )


async def submit_sign_in(request: Request) -> Response:
    """Sign somebody in by e-mail address and password; every refusal looks the same (AU-2)."""
    fields = await read_form(request)
    check_form(request, fields, SIGN_IN)
    next_path, email = local_path(fields.get("next")), fields.get("email", "").strip()
    fresh = fields.get("fresh") == "1"
    try:
        user = await user_by_password(request, email, fields.get("password", ""))
    except TooManyAttempts as error:
        problem = f"Too many attempts. Try again in {duration(error.retry_after)}."
        response = await _sign_in_page(
            request, next_path, fresh=fresh, email=email, problem=problem, status=error.status
        )
        response.headers.update(error.headers)
        return response
    if user is None:
        return await _sign_in_page(request, next_path, fresh=fresh, email=email, problem=WRONG, status=403)
    return await start_session(request, user, next_path)


async def show_code(request: Request) -> Response:
    """Ask for the code of the second factor."""
    next_path = local_path(read_query(request).get("next"))
    found = await presence(request)
    if found is None:
        raise SignInNeeded(next_path)
    if found.stage is not Stage.CODE:
        return redirect(service_of(request).settings, next_step(found.stage, next_path))
    return await _code_page(request, next_path)


async def _code_page(
    request: Request,
    next_path: str,
    problem: str = "",
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    app = await asking_for(request, next_path)
    context: dict[str, Any] = {"next_path": next_path, "problem": problem}
    response = render(request, "code.html", status, form=CODE, goes_to=app.address, **context)
    response.headers.update(headers or {})
    return response


async def submit_code(request: Request) -> Response:
    """Complete a sign-in by a code."""
    fields = await read_form(request)
    check_form(request, fields, CODE)
    next_path = local_path(fields.get("next"))
    settings = service_of(request).settings
    found = await presence(request)
    if found is None:
        raise SignInNeeded(next_path)
    if found.stage is not Stage.CODE:
        return redirect(settings, next_step(found.stage, next_path))
    try:
        browser = await give_code(request, found, fields.get("code", ""))
    except CodeRefused:
        return await _code_page(request, next_path, WRONG_CODE, 403)
    except NoTriesLeft:
        return await _sign_in_page(request, next_path, problem="Too many wrong codes. Sign in again.", status=403)
    except TooManyAttempts as error:
        problem = f"Too many wrong codes. Try again in {duration(error.retry_after)}."
        return await _code_page(request, next_path, problem, error.status, error.headers)
    response = redirect(settings, next_path)
    set_browser(response, settings, browser)
    return response


async def show_sign_out(request: Request) -> Response:
    """Ask whether to sign out, or say that nobody is signed in."""
    found = await presence(request)
    return render(request, "sign_out.html", form=SIGN_OUT, user=found.user if found else None)


async def submit_sign_out(request: Request) -> Response:
    """Sign out."""
    check_form(request, await read_form(request), SIGN_OUT)
    return await sign_out(request, "/sign-out")


ROUTES: Final = (
    page("/sign-in", show_sign_in),
    page("/sign-in", submit_sign_in, ("POST",)),
    page("/sign-in/code", show_code),
    page("/sign-in/code", submit_code, ("POST",)),
    page("/sign-out", show_sign_out),
    page("/sign-out", submit_sign_out, ("POST",)),
)

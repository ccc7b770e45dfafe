"""How a page leaves: rendered with autoescape, with headers that let it do nothing but be read and sent (AU-7, A11)."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cache
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import structlog
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from fhir_server.oauth.endpoints import RETRY_SECONDS, UNAVAILABLE, OwnRoute
from fhir_server.oauth.errors import OAuthError, TooManyAttempts
from fhir_server.oauth.service import service_of
from fhir_server.pages.browser import CSRF_FIELD, browser_of, form_token, is_own_form, is_secure, set_browser
from fhir_server.settings import Settings
from storage.authorization.opaque import new_opaque

Handler = Callable[[Request], Awaitable[Response]]

STYLE: Final = "/static/pages.css"
log = structlog.get_logger("fhir_server.pages")


class PageRefused(Exception):
    """A request for a page is refused; `status` is true, `message` is plain and for people, and echoes nothing."""

    def __init__(self, status: int, title: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.title = title
        self.message = message


class SignInNeeded(Exception):
    """The page is for someone who is signed in; `next_path` is where to go on afterwards."""

    def __init__(self, next_path: str, *, fresh: bool = False) -> None:
        super().__init__(next_path)
        self.next_path = next_path
        self.fresh = fresh
        """Whether the person has to sign in again, signed in or not."""


@cache
def environment() -> Environment:
    """Return the templates; a name that a page does not get is an error, never an empty place."""
    made = Environment(
        loader=PackageLoader("fhir_server.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["style"] = STYLE
    made.globals["csrf_field"] = CSRF_FIELD
    return made


def render(
    request: Request,
    template: str,
    status: int = 200,
    *,
    form: str = "page",
    goes_to: str | None = None,
    **context: Any,
) -> Response:
    """Return a page.

    `form` names the form on it: its token is `csrf` in the template, and `check_form` asks for the same name. `goes_to`
    is the address to which a POST of the page may redirect in the end, which `form-action` has to allow.
    """
    settings = service_of(request).settings
    browser = browser_of(request)
    fresh = browser is None
    browser = browser or new_opaque()
    html = environment().get_template(template)
    body = html.render(csrf=form_token(settings, browser, form), site_name=settings.site_name, **context)
    response = HTMLResponse(body, status_code=status, headers=page_headers(settings, goes_to))
    if fresh:
        set_browser(response, settings, browser)
    return response


def page_headers(settings: Settings, goes_to: str | None = None) -> dict[str, str]:
    """Return the headers of every page.

    There is no `Cross-Origin-Opener-Policy`: an app may ask in a window of its own and wait for it (`smart.md` L8).
    """
    action = "'self'"
    if goes_to is not None:
        parts = urlsplit(goes_to)
        action += f" {parts.scheme}://{parts.netloc}" if parts.netloc else f" {parts.scheme}:"
    headers = {
        "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self' data:; "
        f"form-action {action}; frame-ancestors 'none'; base-uri 'none'",
        "X-Frame-Options": "DENY",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }
    if is_secure(settings):
        headers["Strict-Transport-Security"] = "max-age=31536000; includeSubDomains"
    return headers


def redirect(settings: Settings, address: str) -> Response:
    """Return a redirect after a POST (303) that nobody keeps."""
    return RedirectResponse(address, 303, headers=page_headers(settings))


def check_form(request: Request, fields: Mapping[str, str], form: str) -> None:
    """Refuse a POST that does not come from our own form in this browser (AU-6); raises PageRefused."""
    if not is_own_form(request, service_of(request).settings, form, fields.get(CSRF_FIELD, "")):
        raise PageRefused(403, "This form has expired", "Go back, reload the page and try again.")


def error_page(request: Request, status: int, title: str, message: str) -> Response:
    """Return the error page, with a reference by which the log can be searched."""
    reference = secrets.token_hex(6)
    log.info("page_refused", status=status, reference=reference, path=getattr(request.scope.get("route"), "path", ""))
    return render(request, "error.html", status, title=title, message=message, reference=reference)


def page(path: str, handler: Handler, methods: Sequence[str] = ("GET",)) -> Route:
    """Return the route of a page; what the handler raises becomes the error page or the way to sign in."""

    async def endpoint(request: Request) -> Response:
        request.scope["route"] = route  # FastAPI names its own alone
        try:
            return await handler(request)
        except Exception as error:  # noqa: BLE001 the one place where errors become pages
            return _page_for(request, error)

    route = OwnRoute(path, endpoint, methods=list(methods), name=handler.__name__)
    return route


def _page_for(request: Request, error: Exception) -> Response:
    match error:
        case SignInNeeded():
            return redirect(service_of(request).settings, sign_in_address(error))
        case PageRefused():
            return error_page(request, error.status, error.title, error.message)
        case TooManyAttempts():
            response = error_page(request, error.status, "Too many attempts", error.description)
            response.headers["Retry-After"] = str(error.retry_after)
            return response
        case OAuthError():
            return error_page(request, error.status, "This request cannot be used", error.description)
        case _ if isinstance(error, UNAVAILABLE):
            log.warning("page_unavailable", reason=type(error).__name__)
            response = error_page(request, 503, "Not available right now", "Try again in a moment.")
            response.headers["Retry-After"] = str(RETRY_SECONDS)
            return response
        case _:
            log.error("page_failed", error=type(error).__name__)  # no trace: it may hold patient data
            return error_page(request, 500, "Something went wrong", "It is not your fault. Try again.")


def sign_in_address(needed: SignInNeeded) -> str:
    """Return where a person signs in, with the way back."""
    fields = {"next": needed.next_path} | ({"fresh": "1"} if needed.fresh else {})
    return f"/sign-in?{urlencode(fields)}"


def local_path(address: str | None, fallback: str = "/account") -> str:
    """Return an address to go on to if it is a path of this server, else `fallback`: no open redirect."""
    if not address or not address.startswith("/") or address[1:2] in {"/", "\\"}:
        return fallback
    return address if address.isascii() and address.isprintable() and "\\" not in address else fallback

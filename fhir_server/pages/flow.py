"""The way through an authorization request: the first page that is still to be shown, or its end (A12, L5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fhir_server.oauth.approval import approve, is_remembered
from fhir_server.oauth.authorization_checks import Rejected
from fhir_server.oauth.deciding import Step
from fhir_server.oauth.forms import read_form, read_pairs
from fhir_server.oauth.service import Act, service_of
from fhir_server.oauth.sessions import signed_in
from fhir_server.oauth.transactions import (
    START_AGAIN,
    OtherPerson,
    Pending,
    Standing,
    own_request,
    pending_of,
    refuse_frames,
    reject,
    standing,
    usable,
)
from fhir_server.pages.browser import browser_key, browser_of, form_token, set_browser
from fhir_server.pages.page import (
    Handler,
    PageRefused,
    SignInNeeded,
    check_form,
    page,
    redirect,
    render,
    sign_in_address,
)
from storage.authorization.opaque import digest, new_opaque
from storage.authorization.requests import claim_request, find_request

PATH: Final = "/authorize/{transaction}"


def flow_page(path: str, handler: Handler, methods: Sequence[str] = ("GET",)) -> Route:
    """Return the route of a page of the flow: what the app has to be told goes to it by a redirect."""

    async def guarded(request: Request) -> Response:
        try:
            return await handler(request)
        except Rejected as error:
            return await reject(request, await own_request(request), error)
        except Elsewhere as error:
            return redirect(service_of(request).settings, error.path)
        except OtherPerson as error:
            return await _other_person(request, error)

    guarded.__name__ = handler.__name__
    return page(path, guarded, methods)


class Elsewhere(Exception):
    """A page is not the one to be shown now; the flow goes on at `path`."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


async def _other_person(request: Request, error: OtherPerson) -> Response:
    """Ask the person who is signed in to make way for the one who launched the app (L5)."""
    pending = error.pending
    if pending.is_silent:
        return await reject(request, pending, pending.rejected("login_required", "Another person is signed in."))
    return render(
        request,
        "other_person.html",
        403,
        form=form_name(pending.transaction, "cancel"),
        goes_to=pending.parameters.redirect_uri,
        pending=pending,
        user=error.person.user,
        switch=sign_in_address(SignInNeeded(pending.path, fresh=True)),
    )


async def arrived(request: Request, step: Step) -> Standing:
    """Return how things stand on the page of a step.

    Raises Elsewhere when what comes before it is still to be done, and what `standing` raises.
    """
    stand = await standing(request)
    if stand.pending.is_silent:
        raise silent_refusal(stand, step)
    order = list(Step)
    if order.index(stand.step) < order.index(step):
        raise Elsewhere(stand.pending.path)
    return stand


def form_name(transaction: str, what: str) -> str:
    """Return the name of a form, which its token is bound to."""
    return f"{what} {transaction}"


def show(request: Request, template: str, stand: Standing, what: str, status: int = 200, **context: object) -> Response:
    """Return a page of the flow; `what` names its form, whose answer may lead back to the app."""
    pending, settings = stand.pending, service_of(request).settings
    return render(
        request,
        template,
        status,
        form=form_name(pending.transaction, what),
        goes_to=pending.parameters.redirect_uri,
        pending=pending,
        stand=stand,
        switch=sign_in_address(SignInNeeded(pending.path, fresh=True)),
        cancel_csrf=form_token(settings, browser_of(request) or "", form_name(pending.transaction, "cancel")),
        **context,
    )


async def sent(request: Request, stand: Standing, what: str) -> Fields:
    """Return the fields of a form of the flow; raises PageRefused for one that is not ours (AU-6)."""
    pairs = await read_pairs(request)
    check_form(request, dict(pairs), form_name(stand.pending.transaction, what))
    return Fields(pairs)


class Fields:
    """What a form sent; of a field that is sent more than once `one` gives nothing."""

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        self.pairs = pairs

    def every(self, name: str) -> tuple[str, ...]:
        """Return every value of a field, in order."""
        return tuple(value for each, value in self.pairs if each == name)

    def one(self, name: str) -> str:
        """Return the one value of a field; empty for none or several."""
        values = self.every(name)
        return values[0].strip() if len(values) == 1 else ""


async def proceed(request: Request) -> Response:
    """Go on with a request: claim it for this browser, then show the first page that is still to be shown."""
    refuse_frames(request)
    browser = browser_of(request)
    if browser is None:
        return await _begin(request)
    pending = await _claim(request, browser)
    try:
        return await _onward(request)
    except PageRefused:
        if not pending.is_silent:
            raise
        raise pending.rejected("access_denied", "This person cannot use the app.") from None


async def _onward(request: Request) -> Response:
    """Show the first page that is still to be shown, or end what needs none."""
    stand = await standing(request)
    step = stand.step
    if step is Step.CONSENT and await is_remembered(request, stand):
        return await approve(request, stand, stand.offered)
    if stand.pending.is_silent:
        raise silent_refusal(stand, step)
    return redirect(service_of(request).settings, stand.pending.step_path(step))


def silent_refusal(stand: Standing, step: Step) -> Rejected:
    """Return what an app is told that wants no page shown (`prompt=none`) when one had to be."""
    code = "consent_required" if step is Step.CONSENT else "interaction_required"
    return stand.pending.rejected(code, "A person has to be asked.")


async def _begin(request: Request) -> Response:
    """Give a browser that has no cookie yet one that owns the request; nobody is signed in in it."""
    service, browser = service_of(request), new_opaque()
    pending = await _claim(request, browser)
    if pending.is_silent:
        return await reject(request, pending, pending.rejected("login_required", "Nobody is signed in."))
    response = redirect(service.settings, sign_in_address(SignInNeeded(pending.path)))
    set_browser(response, service.settings, browser)
    return response


async def _claim(request: Request, browser: str) -> Pending:
    """Return the request, which belongs to this browser from now on; raises PageRefused."""
    service, transaction = service_of(request), request.path_params["transaction"]
    key, now = browser_key(browser), service.seconds
    async with service.database.platform() as connection:
        claimed = await claim_request(connection, digest(transaction), key, now)
        found = claimed or await find_request(connection, digest(transaction))
    found = usable(found, now)
    if claimed is None:
        raise PageRefused(403, "This page belongs to another browser", START_AGAIN)
    return await pending_of(service, transaction, claimed)


async def cancel(request: Request) -> Response:
    """Tell the app that the person refused, from whatever page; nobody has to be signed in for that."""
    pending = await own_request(request)
    check_form(request, await read_form(request), form_name(pending.transaction, "cancel"))
    person = await signed_in(request)
    who = person.user.id if person else ""
    act = Act(who, "", "grant", "authorize", outcome="denied", status=303, client_id=pending.client.id)
    return await reject(request, pending, pending.rejected("access_denied", "The person refused."), act)


ROUTES: Final = (
    flow_page(PATH, proceed),
    flow_page(f"{PATH}/cancel", cancel, ("POST",)),
)

"""Every address of the authorization server and its pages, in one list."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from fhir_server.oauth import authorize, discovery, registration, token, userinfo
from fhir_server.pages import account, apps, consent, encounters, flow, organization, patients, second_factor, sign_in

STATIC_SECONDS: Final = 3600


def oauth_routes() -> list[BaseRoute]:
    """Return the routes; each module names its own."""
    return [
        Route("/static/pages.css", style_sheet, methods=["GET"]),
        *discovery.ROUTES,
        *authorize.ROUTES,
        *flow.ROUTES,
        *organization.ROUTES,
        *patients.ROUTES,
        *encounters.ROUTES,
        *consent.ROUTES,
        *registration.ROUTES,
        *token.ROUTES,
        *userinfo.ROUTES,
        *sign_in.ROUTES,
        *account.ROUTES,
        *second_factor.ROUTES,
        *apps.ROUTES,
    ]


async def style_sheet(_request: Request) -> Response:
    """Return the style of all pages; it holds nothing of anybody."""
    text = (files("fhir_server.pages") / "static" / "pages.css").read_text("utf-8")
    return Response(text, media_type="text/css", headers={"Cache-Control": f"public, max-age={STATIC_SECONDS}"})

"""Every address of the authorization server and its pages, in one list."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from fhir_server.oauth import authorize, discovery, introspect, registration, revoke, styles, token, userinfo
from fhir_server.pages import (
    account,
    apps,
    consent,
    emergency,
    encounters,
    external_sign_in,
    flow,
    launch_page,
    organization,
    patients,
    second_factor,
    sign_in,
)

STATIC_SECONDS: Final = 3600
STATIC_FILES: Final = {
    "/static/pages.css": ("pages.css", "text/css"),
    "/static/icon.svg": ("icon.svg", "image/svg+xml"),
}


def oauth_routes() -> list[BaseRoute]:
    """Return the routes; each module names its own."""
    return [
        *(Route(path, static_file, methods=["GET"]) for path in STATIC_FILES),
        *discovery.ROUTES,
        *authorize.ROUTES,
        *flow.ROUTES,
        *organization.ROUTES,
        *patients.ROUTES,
        *encounters.ROUTES,
        *consent.ROUTES,
        *launch_page.ROUTES,
        *styles.ROUTES,
        *registration.ROUTES,
        *token.ROUTES,
        *introspect.ROUTES,
        *revoke.ROUTES,
        *userinfo.ROUTES,
        *sign_in.ROUTES,
        *external_sign_in.ROUTES,
        *account.ROUTES,
        *second_factor.ROUTES,
        *apps.ROUTES,
        *emergency.ROUTES,
    ]


async def static_file(request: Request) -> Response:
    """Return the style or the icon of all pages; they hold nothing of anybody."""
    name, media_type = STATIC_FILES[request.url.path]
    content = (files("fhir_server.pages") / "static" / name).read_bytes()
    return Response(content, media_type=media_type, headers={"Cache-Control": f"public, max-age={STATIC_SECONDS}"})

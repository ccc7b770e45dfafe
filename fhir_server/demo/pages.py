"""Serves the sample SMART app under `/demo-app/`: only while the demonstration runs, as files and nothing else."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

DEMO_APP: Final = "/demo-app/"
FILES: Final = {
    "": ("index.html", "text/html"),
    "launch.html": ("launch.html", "text/html"),
    "app.js": ("app.js", "text/javascript"),
    "app.css": ("app.css", "text/css"),
}
"""Path below the address of the app, to the file and its media type."""
HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def demo_routes() -> list[BaseRoute]:
    """Return the addresses of the sample app."""
    return [Route(f"{DEMO_APP}{path}", sample_app, methods=["GET"]) for path in FILES]


async def sample_app(request: Request) -> Response:
    """Return a file of the sample app."""
    name, media_type = FILES[request.url.path.removeprefix(DEMO_APP)]
    text = (files("fhir_server.demo") / "app" / name).read_text("utf-8")
    return Response(text, media_type=media_type, headers=HEADERS)

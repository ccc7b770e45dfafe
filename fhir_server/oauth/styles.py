"""How our pages look, for apps that want to look alike (SMART App Launch 2.2 `smart_style_url`, `smart.md` L7).

The address holds a hash of the content: another content has another address, and an old one may be kept for good.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fhir_server.settings import Settings

STYLE: Final[Mapping[str, str]] = {
    "color_background": "#f3f6f8",
    "color_error": "#a4231d",
    "color_highlight": "#0b5c8a",
    "color_modal_backdrop": "",
    "color_success": "#1d6b3a",
    "color_text": "#17212b",
    "dim_border_radius": "10px",
    "dim_font_size": "16px",
    "dim_spacing_size": "16px",
    "font_family_body": 'system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif',
    "font_family_heading": 'system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif',
}
BODY: Final = json.dumps(STYLE, indent=1).encode()
PATH: Final = f"/static/smart-style-{hashlib.sha256(BODY).hexdigest()[:16]}.json"
HEADERS: Final[Mapping[str, str]] = {
    "Cache-Control": "public, max-age=31536000, immutable",
    "Access-Control-Allow-Origin": "*",
    "X-Content-Type-Options": "nosniff",
}


def style_address(settings: Settings) -> str:
    """Return the address that apps are told."""
    return f"{settings.base_url}{PATH}"


async def smart_style(_request: Request) -> Response:
    """Return the style; it needs no token and holds nothing of anybody."""
    return Response(BODY, media_type="application/json", headers=dict(HEADERS))


ROUTES: Final = (Route(PATH, smart_style, methods=["GET"]),)

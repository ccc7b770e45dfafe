"""capabilities (FHIR R4 http.html#capabilities): made once per worker, sent as bytes, to anybody."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import version as installed_version

from capability.statement import capability_statement
from fhir_server.fhir.json_body import encode_json
from fhir_server.fhir.response import Response


@lru_cache(maxsize=4)
def _statement(base_url: str) -> bytes:
    return encode_json(capability_statement(base_url, installed_version("fhir-server"), _started()))


@lru_cache(maxsize=1)
def _started() -> datetime:
    return datetime.now(UTC)


def capabilities(base_url: str) -> Response:
    """Answer with the CapabilityStatement of this instance."""
    return Response(200, _statement(base_url))

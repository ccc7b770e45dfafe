"""capabilities (FHIR R4 http.html#capabilities): made once per worker, sent as bytes, to anybody."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from hashlib import blake2b
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Final, NamedTuple

import capability
from capability.statement import Choices, capability_statement, terminology_capabilities
from fhir_server.errors import InvalidParameter
from fhir_server.fhir.conditions import names_tag
from fhir_server.fhir.json_body import encode_json
from fhir_server.fhir.negotiation import Pairs, first
from fhir_server.fhir.packing import gzip
from fhir_server.fhir.response import Response
from fhir_server.fhir.subset import Subset, asked_subset, subset
from fhir_server.settings import Settings

MODES: Final = frozenset({"full", "normative", "terminology"})


class _Statement(NamedTuple):
    body: bytes
    gzipped: bytes
    etag: str

    @classmethod
    def of(cls, body: bytes) -> _Statement:
        return cls(body, gzip(body), f'W/"{blake2b(body, digest_size=12).hexdigest()}"')


@lru_cache(maxsize=8)
def _statement(base_url: str, mode: str, choices: Choices) -> _Statement:
    software, date = installed_version("fhir-server"), changed_at()
    if mode == "terminology":
        body = encode_json(terminology_capabilities(base_url, software, date))
    else:
        body = encode_json(capability_statement(base_url, software, date, mode, choices))
    return _Statement.of(body)


@lru_cache(maxsize=8)
def _part(base_url: str, mode: str, choices: Choices, asked: Subset) -> _Statement:
    kind = "TerminologyCapabilities" if mode == "terminology" else "CapabilityStatement"
    return _Statement.of(subset(kind, _statement(base_url, mode, choices).body, asked))


@lru_cache(maxsize=1)
def changed_at() -> datetime:
    """Return when the server's abilities last changed: when what describes them was installed."""
    described = (path.stat().st_mtime for path in Path(capability.__path__[0]).rglob("*") if path.suffix != ".pyc")
    return datetime.fromtimestamp(int(max(described)), UTC)


def capabilities(settings: Settings, pairs: Pairs = (), if_none_match: str = "") -> Response:
    """Answer with the CapabilityStatement of this instance, or with 304 to who has it; raises InvalidParameter."""
    mode = first(pairs, "mode") or "full"
    if mode not in MODES:
        raise InvalidParameter("mode", "mode is full, normative or terminology")
    asked = asked_subset(pairs)
    choices = Choices(
        settings.conditional_delete.value,
        settings.update_as_create,
        settings.base_url,
        registration=settings.takes_registrations,
    )
    instance = (settings.fhir_base, mode, choices)
    statement = _statement(*instance) if asked is None else _part(*instance, asked)
    headers = {"ETag": statement.etag}
    if if_none_match and names_tag(if_none_match, statement.etag):
        return Response(304, b"", headers)
    return Response(200, statement.body, headers, gzipped=statement.gzipped)

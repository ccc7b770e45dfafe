"""OperationOutcomes that report no failure (FHIR R4 operationoutcome.html)."""

from __future__ import annotations

from collections.abc import Iterable

from fhir_server.fhir.json_body import encode_json


def information(text: str) -> bytes:
    """Return an outcome that says what was done."""
    return _outcome("information", "informational", [text])


def warnings(texts: Iterable[str]) -> bytes:
    """Return an outcome that says what of a search was not done (search.html#errors)."""
    return _outcome("warning", "not-supported", texts)


def _outcome(severity: str, code: str, texts: Iterable[str]) -> bytes:
    issues = [{"severity": severity, "code": code, "details": {"text": each}, "diagnostics": each} for each in texts]
    return encode_json({"resourceType": "OperationOutcome", "issue": issues})

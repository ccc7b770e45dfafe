"""1,000 requests that are wrong somewhere: never our fault, always an outcome, and nothing invalid is stored."""

from __future__ import annotations

import json
import os
import socket
from collections import Counter
from contextlib import suppress
from http.client import HTTPException, HTTPResponse
from urllib.parse import quote, urlsplit

import pytest

from fhir_server.fhir.json_body import encode_json, parse_json
from fhir_server.validation.validate import resource_issues
from tests.conformance.malformed import MARK, Wrong, wrong_request
from tests.site import patient

COUNT = int(os.environ.get("FHIR_TEST_MALFORMED", "1000"))
"""Requests on each engine; more of them by hand."""
FIRST = int(os.environ.get("FHIR_TEST_MALFORMED_FIRST", "0"))
CALLERS = (0, 0, 1, 0, 2)
"""Whose token is sent, by turns of ten requests: who may do everything, a patient, a clinician with few scopes."""
CODES = {
    "invalid", "structure", "required", "value", "invariant", "security", "login", "unknown", "expired", "forbidden",
    "suppressed", "processing", "not-supported", "duplicate", "multiple-matches", "not-found", "deleted", "too-long",
    "code-invalid", "extension", "too-costly", "business-rule", "conflict", "transient", "timeout", "throttled",
}  # fmt: skip


def exchange(base: str, token: str, wrong: Wrong) -> tuple[int, dict[str, str], bytes]:
    """Send a request byte by byte as it is, over a connection of its own; return status, headers and body."""
    parts = urlsplit(base)
    target = quote(f"{parts.path}/{wrong.target}", safe="/%?&=:$,;|*~+_.-#[]@!'()<>\"^`{}\\")
    fields = {"Host": parts.netloc, "Authorization": f"Bearer {token}", **wrong.headers, "Connection": "close"}
    chunked = any(name.lower() == "transfer-encoding" for name in fields)
    if not chunked and (wrong.body or wrong.method in {"POST", "PUT", "PATCH"}):
        fields["Content-Length"] = str(len(wrong.body))
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    with socket.create_connection((str(parts.hostname), int(parts.port or 80)), timeout=30) as connection:
        with suppress(OSError):  # the server may answer before it has read everything, and close
            connection.sendall(
                f"{wrong.method} {target} HTTP/1.1\r\n{head}\r\n".encode("utf-8", "replace") + wrong.body
            )
        response = HTTPResponse(connection, method=wrong.method)
        response.begin()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()


def fault(wrong: Wrong, status: int, headers: dict[str, str], body: bytes) -> str | None:
    """Return what is wrong with an answer."""
    if status >= 500:
        return "a failure of the server"
    if status < 400 or wrong.method == "HEAD":
        return None
    if not headers.get("content-type", "").startswith("application/fhir+json"):
        return f"an error of kind {headers.get('content-type')}"
    outcome = json.loads(body)
    if outcome.get("resourceType") != "OperationOutcome" or not outcome.get("issue"):
        return "no OperationOutcome"
    for issue in outcome["issue"]:
        if issue["severity"] not in {"error", "fatal", "warning", "information"} or issue["code"] not in CODES:
            return "an issue without severity and code of R4"
        if not issue.get("diagnostics"):
            return "an issue without diagnostics"
    if MARK.encode() in body:
        return "an answer that repeats a value"
    return "an invalid OperationOutcome" if resource_issues(outcome) else None


@pytest.fixture(scope="module")
def answered(site, fhir):
    """All requests with their answers."""
    assert fhir.put("/Patient/stored", json=patient("Stored", id="stored")).status_code == 201
    tokens = [
        site.token(),
        site.token("patient/*.cruds", role="PATIENT", patient="stored", fhir_user="Patient/stored"),
        site.token("user/Observation.rs user/Patient.rs", role="CLINICIAN"),
    ]
    found = []
    for number in range(FIRST, FIRST + COUNT):
        wrong = wrong_request(number)
        try:
            found.append((number, wrong, *exchange(site.base, tokens[CALLERS[number // 10 % len(CALLERS)]], wrong)))
        except (OSError, HTTPException) as error:
            found.append((number, wrong, 599, {}, repr(error).encode()))
    return found


def test_fhir_H10_malformed_requests_get_an_outcome_and_never_a_5xx(answered):
    told = [
        (number, why, status, str(wrong), body[:600])
        for number, wrong, status, headers, body in answered
        if (why := fault(wrong, status, headers, body)) is not None
    ]
    print(sorted(Counter(status for _, _, status, _, _ in answered).items()))
    for each in told[:20]:
        print(*each, sep="\n    ")
    assert not told


def test_fhir_malformed_requests_are_mostly_refused(answered):
    refused = sum(400 <= status < 500 for _, _, status, _, _ in answered)
    assert refused > 0.7 * len(answered)


def test_fhir_C3_malformed_requests_store_nothing_invalid(fhir, answered):
    url, seen = "/_history?_count=1000", 0
    while url:
        answer = fhir.get(url)
        assert answer.status_code == 200
        bundle = parse_json(answer.content)
        for entry in bundle.get("entry", ()):
            if "resource" in entry:
                seen += 1
                assert resource_issues(entry["resource"], encode_json(entry["resource"])) == [], entry["resource"]
        url = next((link["url"] for link in bundle["link"] if link["relation"] == "next"), "")
    assert seen > 0
    assert fhir.get("/Patient/stored").status_code in {200, 410}

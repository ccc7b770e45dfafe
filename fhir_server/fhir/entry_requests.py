"""Entries of bundles as requests, and their answers as entries: the code that serves requests serves them (AZ-11)."""

from __future__ import annotations

from dataclasses import replace

from fhir_server.fhir.bundles import response_entry
from fhir_server.fhir.entries import Entry
from fhir_server.fhir.request import FhirRequest
from fhir_server.fhir.response import Response


def entry_request(entry: Entry, request: FhirRequest) -> FhirRequest:
    """Return the request that an entry stands for.

    Of the headers of the bundle's own request `Prefer` counts for its entries; where it does not ask for
    representations, written resources are not sent back (B1).
    """
    prefer = request.headers.get("prefer", "")
    headers = {**entry.headers, "prefer": prefer if "return=" in prefer else f"{prefer},return=minimal"}
    return FhirRequest(
        route=entry.route,
        access=request.access,
        origin=replace(request.origin, method=entry.method),
        query=entry.query,
        headers=headers,
        receive=request.receive,
        limits=request.limits,
        given=entry.resource,
        entry=entry.place,
    )


def without_body(response: Response) -> Response:
    """Return the answer to HEAD (H7): that to GET, but for the resource."""
    return replace(response, body=b"")


def entry_answer(response: Response) -> bytes:
    """Return the entry of a batch-response or transaction-response; a failure's body is its outcome."""
    failed = response.status >= 400
    created = response.version is not None and "Location" in response.headers
    return response_entry(
        response.status,
        location=f"{response.version.key}/_history/{response.version.version}"
        if created and response.version
        else None,
        version=response.version,
        resource=b"" if failed else response.body,
        outcome=response.body if failed else b"",
    )

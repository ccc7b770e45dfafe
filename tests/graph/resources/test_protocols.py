"""Protocols: their life, kept for both APIs in one place, and told to the timeline (data model `protocol_status`)."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from storage.repositories.protocol_states import NEXT
from tests.graph.kit import JANE, GraphSite

Clients = Callable[..., httpx.Client]
STATES = [each.value for each in NEXT]
STAMPS = {"paused": "pausedAt", "completed": "completedAt", "cancelled": "cancelledAt"}
TOLD = {
    "active": "protocol_started",
    "paused": "protocol_paused",
    "completed": "protocol_completed",
    "cancelled": "protocol_cancelled",
}
ALLOWED = {
    "active": ["cancelled", "completed", "paused"],
    "paused": ["active", "cancelled", "completed"],
    "completed": [],
    "cancelled": [],
}


def new(client: httpx.Client, **more: Any) -> dict[str, Any]:
    answer = client.post("/protocols", json={"customerId": JANE.customer, "name": "Thyroid", **more})
    assert answer.status_code == 201, answer.text
    return answer.json()["data"]  # type: ignore[no-any-return]


def told_of(client: httpx.Client, protocol: str) -> list[str]:
    found = client.get("/events", params={"customerId": JANE.customer, "limit": 100}).json()["data"]
    return sorted(each["type"] for each in found if each["data"].get("protocolId") == protocol)


@pytest.mark.parametrize(("before", "after"), [*itertools.permutations(STATES, 2)])
def test_every_move_is_allowed_stamped_and_told_or_refused_with_what_is_allowed(
    graph: Clients, before: str, after: str
) -> None:
    clinician = graph("CLINICIAN")
    protocol = new(clinician, status=before)["id"]
    answer = clinician.patch(f"/protocols/{protocol}", json={"status": after})
    if after in ALLOWED[before]:
        moved = answer.json()["data"]
        assert (answer.status_code, moved["status"]) == (200, after)
        assert after not in STAMPS or moved[STAMPS[after]] is not None
        assert told_of(clinician, protocol) == sorted(["protocol_created", TOLD[after]])
    else:
        assert answer.status_code == 409
        assert answer.json()["error"]["code"] == "VALIDATION_ERROR"
        assert answer.json()["error"]["details"] == {"allowed": ALLOWED[before]}
        assert told_of(clinician, protocol) == ["protocol_created"]


def test_fhir_keeps_to_the_same_states(graph: Clients, graph_site: GraphSite) -> None:
    clinician, fhir = graph("CLINICIAN"), graph_site.site.client()
    protocol = new(clinician, compounds=[{"name": "T4", "dosage": "112mcg", "frequency": "daily", "odd": 1}])["id"]
    plan = fhir.get(f"/CarePlan/{protocol}").json()
    assert plan["status"] == "active"
    assert fhir.put(f"/CarePlan/{protocol}", json=plan | {"status": "completed"}).status_code == 200
    shown = clinician.get(f"/protocols/{protocol}").json()["data"]
    assert (shown["status"], shown["completedAt"] is not None) == ("completed", True)
    assert told_of(clinician, protocol) == ["protocol_completed", "protocol_created"]
    refused = fhir.put(f"/CarePlan/{protocol}", json=fhir.get(f"/CarePlan/{protocol}").json() | {"status": "active"})
    assert refused.status_code == 422
    assert refused.json()["issue"][0]["code"] == "business-rule"


def test_whoever_writes_a_protocol_is_its_author_unless_it_is_the_customer(graph: Clients) -> None:
    assert new(graph("CLINICIAN"))["createdBy"] == "tester-clinician"
    assert new(graph("STAFF"), createdBy="dr_smith_123")["createdBy"] == "dr_smith_123"
    assert new(graph("STAFF"))["createdBy"] is None
    assert new(graph("PATIENT", customer=JANE), createdBy="dr_smith_123")["createdBy"] is None


def test_a_protocol_is_changed_where_it_says_so(graph: Clients) -> None:
    staff = graph("STAFF")
    protocol = new(staff, compounds=[{"name": "T4", "dosage": 0.250}], startDate="2026-03-17", goals=["calm"])
    changed = staff.patch(f"/protocols/{protocol['id']}", json={"notes": "nausea", "endDate": "2026-04-01"}).json()
    wanted = protocol | {"notes": "nausea", "endDate": "2026-04-01"}
    assert changed["data"] == wanted | {"updatedAt": changed["data"]["updatedAt"]}
    assert staff.patch(f"/protocols/{protocol['id']}", json={"customerId": "x"}).status_code == 400
    assert staff.patch("/protocols/none", json={"notes": "x"}).status_code == 404
    found = staff.get("/protocols", params={"customerId": JANE.customer, "status": "active", "limit": 100}).json()
    assert protocol["id"] in [each["id"] for each in found["data"]]


@pytest.mark.parametrize("more", [{"name": ""}, {"compounds": [{"dosage": "1"}]}, {"status": "lost"}, {"startDate": 1}])
def test_what_does_not_fit_is_refused(graph: Clients, more: dict[str, Any]) -> None:
    body = {"customerId": JANE.customer, "name": "Thyroid", **more}
    assert graph("STAFF").post("/protocols", json=body).status_code == 400

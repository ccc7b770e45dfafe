"""Identity mappings: what a customer is called elsewhere, and whom such an id stands for."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from tests.graph.kit import JANE, JOHN

Clients = Callable[..., httpx.Client]
RESOLVE = "/identity-mappings/resolve"


def test_system_and_type_imply_each_other(graph: Clients) -> None:
    staff = graph("STAFF")
    body = {"customerId": JANE.customer, "externalSystem": "clerk", "externalId": "clerk_jane"}
    made = staff.post("/identity-mappings", json=body)
    assert made.status_code == 201
    assert made.json()["data"]["identifierType"] == "clerk_user_id"
    other = {"customerId": JANE.customer, "identifierType": "hubspot_contact_id", "externalId": "77"}
    assert staff.post("/identity-mappings", json=other).json()["data"]["externalSystem"] == "hubspot"
    rimo = {"customerId": JANE.customer, "externalSystem": "rimo", "externalId": "r1"}
    assert staff.post("/identity-mappings", json=rimo).json()["data"]["identifierType"] == "rimo"
    contradiction = body | {"identifierType": "phone"}
    answer = staff.post("/identity-mappings", json=contradiction)
    assert answer.status_code == 400
    assert answer.json()["error"]["details"]["issues"][0]["path"] == ["externalSystem"]
    assert staff.post("/identity-mappings", json={"customerId": JANE.customer, "externalId": "x"}).status_code == 400


def test_the_same_once_more_changes_nothing_and_anothers_is_a_conflict(graph: Clients) -> None:
    staff = graph("STAFF")
    body = {"customerId": JANE.customer, "externalSystem": "stripe", "externalId": "cus_again"}
    first = staff.post("/identity-mappings", json=body)
    again = staff.post("/identity-mappings", json=body)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["data"] == again.json()["data"]
    taken = staff.post("/identity-mappings", json=body | {"customerId": JOHN.customer})
    assert taken.status_code == 409
    assert taken.json()["error"]["code"] == "CONFLICT"


def test_an_id_is_resolved_by_system_by_type_and_by_the_profile_itself(graph: Clients) -> None:
    support = graph("SUPPORT")
    by_system = support.get(RESOLVE, params={"externalSystem": "stripe", "externalId": f"cus_{JANE.customer}"}).json()
    by_type = support.get(
        RESOLVE, params={"identifierType": "stripe_customer_id", "externalId": f"cus_{JANE.customer}"}
    ).json()
    assert by_system == by_type
    assert by_system["data"]["mapping"]["id"] == JANE.row("mapping")
    assert by_system["data"]["customerId"] == JANE.customer
    assert by_system["data"]["survivor"] == {"table": "customer_profiles", "id": JANE.customer}
    for system, value in (("clerk", JOHN.login), ("email", JOHN.email)):
        found = support.get(RESOLVE, params={"externalSystem": system, "externalId": value}).json()["data"]
        assert (found["mapping"], found["customerId"]) == (None, JOHN.customer)


def test_nobody_is_404_and_nothing_to_go_by_400(graph: Clients) -> None:
    staff = graph("STAFF")
    unknown = staff.get(RESOLVE, params={"externalSystem": "stripe", "externalId": "nobody"})
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "NOT_FOUND")
    assert staff.get(RESOLVE, params={"externalId": "nobody"}).status_code == 400


@pytest.mark.parametrize("whose", [JANE, JOHN])
def test_customers_list_their_own_and_resolve_nobody(graph: Clients, whose: object) -> None:
    jane = graph("PATIENT", customer=JANE)
    own = whose is JANE
    listed = jane.get("/identity-mappings", params={"customerId": getattr(whose, "customer")})  # noqa: B009 as an object
    assert listed.status_code == (200 if own else 403)
    asked = {"externalSystem": "stripe", "externalId": f"cus_{getattr(whose, 'customer')}"}  # noqa: B009 as an object
    assert jane.get(RESOLVE, params=asked).status_code == 403

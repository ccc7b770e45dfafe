"""What strangers send: odd ids, bytes that no database takes, two at once. Nothing of it is our fault (500)."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.graph.kit import JANE

Clients = Callable[..., httpx.Client]
LISTS = ["/labs", "/protocols", "/events", "/conversation-history", "/identity-mappings", "/profiles"]
ROWS = ["/labs", "/protocols", "/profiles"]
ODD = ["%00", "%ff", "%ed%a0%80", "a%00b", "'%20OR%201=1", "x" * 5000]


@pytest.mark.parametrize("value", ODD)
@pytest.mark.parametrize("address", LISTS)
def test_odd_customers_have_nothing(graph: Clients, address: str, value: str) -> None:
    assert graph("STAFF").get(f"{address}?customerId={value}").status_code in {200, 400}
    assert graph("PATIENT", customer=JANE).get(f"{address}?customerId={value}").status_code == 403


@pytest.mark.parametrize("value", ODD)
@pytest.mark.parametrize("address", ROWS)
def test_odd_rows_are_not_there(graph: Clients, address: str, value: str) -> None:
    staff, jane = graph("STAFF"), graph("PATIENT", customer=JANE)
    for client, expected in ((staff, {400, 404}), (jane, {400, 403})):
        assert client.get(f"{address}/{value}").status_code in expected
    assert staff.patch(f"{address}/{value}", json={}).status_code in {400, 404}


@pytest.mark.parametrize("value", ODD)
def test_odd_filters_find_nothing(graph: Clients, value: str) -> None:
    staff = graph("STAFF")
    for asked in (
        f"/profiles?email={value}",
        f"/conversation-history?customerId=x&sessionId={value}&channel={value}",
        f"/identity-mappings/resolve?externalSystem=stripe&externalId={value}",
        f"/identity-mappings/resolve?externalSystem={value}&externalId=1",
    ):
        assert staff.get(asked).status_code in {200, 400, 404}


def test_keys_too_long_for_an_index_are_refused(graph: Clients) -> None:
    staff = graph("STAFF")
    long = "x" * 5000
    lab = {"customerId": JANE.customer, "uploadId": long, "biomarkers": {}}
    assert staff.post("/labs", json=lab).status_code == 400
    assert staff.post("/profiles", json={"externalId": long, "email": "l@example.com"}).status_code == 400
    words = "".join(map(chr, range(0x4E00, 0x4E00 + 255)))  # what does not compress
    name = {"externalId": "user_long", "email": "long@example.com", "lastName": words, "firstName": words[::-1]}
    assert staff.post("/profiles", json=name | {"phoneNumber": words, "subscriptionTier": words}).status_code == 201
    assert staff.post("/profiles", json=name | {"lastName": words + "x"}).status_code == 400
    mapping = {"customerId": JANE.customer, "externalSystem": words, "externalId": words[::-1]}
    assert staff.post("/identity-mappings", json=mapping).status_code == 201


def test_the_same_upload_by_two_at_once_is_one_result(graph: Clients) -> None:
    clients = [graph("STAFF") for _ in range(4)]

    def upload(place: int) -> httpx.Response:
        biomarkers = {"tsh": {"value": place, "unit": "uIU/mL"}}
        body = {"customerId": JANE.customer, "uploadId": "at_once", "biomarkers": biomarkers}
        return clients[place].post("/labs", json=body)

    with ThreadPoolExecutor(4) as pool:
        answers = [*pool.map(upload, range(4))]
    assert {each.json()["data"]["id"] for each in answers if each.status_code < 300} != set()
    assert sorted(each.status_code for each in answers) == [200, 200, 200, 201]
    assert len({each.json()["data"]["id"] for each in answers}) == 1

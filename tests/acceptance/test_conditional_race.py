"""Equal conditional writes at once make one resource, whichever process they meet (fhir_rest C4, U6; security DU-5).

The server runs as two worker processes; 64 clients send the same request over connections of their own at one moment.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest

from tests.acceptance.test_killed import Process
from tests.site import FHIR_JSON, Site, patient

CLIENTS = 64
SYSTEM = "http://example.org/race"


@pytest.fixture(scope="module")
def two_workers(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    process = Process(database_url, tmp_path_factory.mktemp("race"))
    with served(process):
        yield process.site
    for client in process.site.clients:
        client.close()


@contextmanager
def served(process: Process) -> Iterator[None]:
    """Run the server with two workers."""
    running = process.command("serve", "--port", str(process.port), "--workers", "2")
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                if httpx.get(f"{process.settings.base_url}/readyz").status_code == 200:
                    break
            except httpx.TransportError:
                assert time.monotonic() < deadline
            time.sleep(0.05)
        yield
    finally:
        running.terminate()
        running.communicate(timeout=60)


def at_once(site: Site, send: Callable[[httpx.Client, int], httpx.Response]) -> list[httpx.Response]:
    """Return the answers to a request that all clients send when all of them are ready."""
    ready = threading.Barrier(CLIENTS)
    headers = {"Authorization": f"Bearer {site.token()}", "Content-Type": FHIR_JSON, "Accept": FHIR_JSON}

    def ask(number: int) -> httpx.Response:
        with httpx.Client(base_url=site.base, headers=headers, timeout=120) as client:
            client.get("/metadata?mode=terminology")  # the connection is open
            ready.wait(60)
            return send(client, number)

    with ThreadPoolExecutor(CLIENTS) as pool:
        return list(pool.map(ask, range(CLIENTS)))


def having(value: str, **more: object) -> dict[str, object]:
    return patient(identifier=[{"system": SYSTEM, "value": value}], **more)


def keys_found(site: Site, value: str) -> list[str]:
    found = site.client().get(f"/Patient?identifier={SYSTEM}|{value}").json()
    return [each["resource"]["id"] for each in found.get("entry", [])]


def test_fhir_C4_64_equal_conditional_creates_make_one_resource(two_workers: Site) -> None:
    condition = {"If-None-Exist": f"identifier={SYSTEM}|create"}
    answers = at_once(two_workers, lambda client, _: client.post("/Patient", json=having("create"), headers=condition))
    assert Counter(each.status_code for each in answers) == {201: 1, 200: CLIENTS - 1}
    assert keys_found(two_workers, "create") == list({each.json()["id"] for each in answers})


def test_fhir_U6_64_equal_conditional_updates_make_one_resource(two_workers: Site) -> None:
    def send(client: httpx.Client, number: int) -> httpx.Response:
        body = having("update", name=[{"family": f"Writer{number}"}])
        return client.put(f"/Patient?identifier={SYSTEM}|update", json=body)

    answers = at_once(two_workers, send)
    assert Counter(each.status_code for each in answers) == {201: 1, 200: CLIENTS - 1}
    (key,) = keys_found(two_workers, "update")
    versions = sorted(int(each.json()["meta"]["versionId"]) for each in answers)
    assert versions == list(range(1, CLIENTS + 1))
    assert {each.json()["id"] for each in answers} == {key}


def test_fhir_B8_64_equal_transactions_make_one_resource(two_workers: Site) -> None:
    request = {"method": "POST", "url": "Patient", "ifNoneExist": f"identifier={SYSTEM}|bundle"}
    body = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [{"resource": having("bundle"), "request": request}],
    }
    answers = at_once(two_workers, lambda client, _: client.post("/", json=body))
    statuses = Counter(each.json()["entry"][0]["response"]["status"] for each in answers)
    assert statuses == {"201": 1, "200": CLIENTS - 1}
    assert len(keys_found(two_workers, "bundle")) == 1


def test_fhir_X4_64_equal_conditional_deletes_make_one_deletion(two_workers: Site) -> None:
    key = two_workers.client().post("/Patient", json=having("delete")).json()["id"]
    answers = at_once(two_workers, lambda client, _: client.delete(f"/Patient?identifier={SYSTEM}|delete"))
    assert Counter(each.status_code for each in answers) == {204: CLIENTS}
    assert [each.headers["etag"] for each in answers if "etag" in each.headers] == ['W/"2"']
    assert two_workers.client().get(f"/Patient/{key}/_history").json()["total"] == 2

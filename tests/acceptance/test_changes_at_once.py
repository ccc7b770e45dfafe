"""Changes of one resource at once: none is lost, none is done twice, and histories stay whole (security DU-3, DU-4)."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.site import FHIR_JSON, Site, observation, patient

SYSTEM = "http://example.org/at-once"
JSON_PATCH = {"Content-Type": "application/json-patch+json"}
EACH = 8
"""How many clients do the same kind of change."""
_numbers = itertools.count(1)


@pytest.fixture
def own(fhir: httpx.Client) -> str:
    """A Patient with nothing."""
    name = f"at-once-{next(_numbers)}"
    fhir.put(f"/Patient/{name}", json=patient(id=name)).raise_for_status()
    return name


@pytest.fixture
def key(fhir: httpx.Client, own: str) -> str:
    """An Observation with one note."""
    made = fhir.post("/Observation", json=observation(f"Patient/{own}", note=[{"text": "first"}]))
    return str(made.json()["id"])


def at_once(site: Site, *acts: Callable[[httpx.Client], Any]) -> list[Any]:
    """Do everything at one moment, each with a connection of its own."""
    ready = threading.Barrier(len(acts))
    headers = {"Authorization": f"Bearer {site.token()}", "Content-Type": FHIR_JSON, "Accept": FHIR_JSON}

    def run(act: Callable[[httpx.Client], Any]) -> Any:
        with httpx.Client(base_url=site.base, headers=headers, timeout=120) as client:
            client.get("/metadata?mode=terminology")  # the connection is open
            ready.wait(60)
            return act(client)

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(run, acts))


def until_done(send: Callable[[], httpx.Response], again: frozenset[int] = frozenset({409, 503})) -> httpx.Response:
    """Send until a conflict with others is over; every other answer is final."""
    for _ in range(200):
        answer = send()
        if answer.status_code not in again:
            return answer
    raise AssertionError(answer.text)


def noting(key: str, number: int) -> Callable[[httpx.Client], httpx.Response]:
    document = [{"op": "add", "path": "/note/-", "value": {"text": f"json {number}"}}]
    return lambda fhir: until_done(lambda: fhir.patch(f"/Observation/{key}", json=document, headers=JSON_PATCH))


def noting_by_path(key: str, number: int) -> Callable[[httpx.Client], httpx.Response]:
    value = {"name": "value", "valueAnnotation": {"text": f"path {number}"}}
    part = [{"name": "type", "valueCode": "add"}, {"name": "path", "valueString": "Observation"}]
    part += [{"name": "name", "valueString": "note"}, value]
    body = {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": part}]}
    return lambda fhir: until_done(lambda: fhir.patch(f"/Observation?_id={key}", json=body))


def rewriting(key: str, number: int) -> Callable[[httpx.Client], httpx.Response]:
    """Read, change and write what was read, until it was still so."""

    def act(fhir: httpx.Client) -> httpx.Response:
        def send() -> httpx.Response:
            found = fhir.get(f"/Observation/{key}")
            resource = found.json()
            resource["note"].append({"text": f"put {number}"})
            return fhir.put(f"/Observation/{key}", json=resource, headers={"If-Match": found.headers["etag"]})

        return until_done(send, frozenset({409, 412, 503}))

    return act


def labelling(key: str, number: int) -> Callable[[httpx.Client], httpx.Response]:
    tag = {"system": SYSTEM, "code": str(number)}
    body = {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": {"tag": [tag]}}]}
    return lambda fhir: until_done(lambda: fhir.post(f"/Observation/{key}/$meta-add", json=body))


def versions_of(fhir: httpx.Client, address: str) -> list[int]:
    entries = fhir.get(f"{address}/_history?_count=1000").json()["entry"]
    return [int(each["response"]["etag"].strip('W/"')) for each in entries]


def test_security_DU4_of_patches_updates_and_labels_at_once_none_is_lost(site: Site, fhir, key: str):
    kinds = (noting, noting_by_path, rewriting, labelling)
    answers = at_once(site, *(kind(key, number) for kind in kinds for number in range(EACH)))
    assert [each.status_code for each in answers] == [200] * len(answers), [each.text for each in answers]
    found = fhir.get(f"/Observation/{key}").json()
    notes = {f"{kind} {number}" for kind in ("json", "path", "put") for number in range(EACH)} | {"first"}
    assert sorted(each["text"] for each in found["note"]) == sorted(notes)
    assert {each["code"] for each in found["meta"]["tag"]} == {str(number) for number in range(EACH)}
    assert versions_of(fhir, f"/Observation/{key}") == list(range(3 * EACH + 1, 0, -1))
    for number in range(EACH):
        assert fhir.get(f"/Observation?_id={key}&_tag={SYSTEM}|{number}&_summary=count").json()["total"] == 1


def test_security_DU4_of_patches_with_one_etag_one_wins(site: Site, fhir, key: str):
    headers = JSON_PATCH | {"If-Match": 'W/"1"'}

    def act(number: int) -> Callable[[httpx.Client], httpx.Response]:
        document = [{"op": "add", "path": "/note/-", "value": {"text": str(number)}}]
        return lambda each: each.patch(f"/Observation/{key}", json=document, headers=headers)

    statuses = sorted(each.status_code for each in at_once(site, *map(act, range(2 * EACH))))
    assert statuses == [200] + [412] * (2 * EACH - 1)
    assert len(fhir.get(f"/Observation/{key}").json()["note"]) == 2


def test_security_DU5_conditional_updates_patches_and_deletions_at_once_leave_one_or_none(site: Site, fhir, own: str):
    """Each finds one or none whenever it comes; a second match never is, and no version is skipped."""
    named = {"system": SYSTEM, "value": own}
    address = f"/Observation?identifier={SYSTEM}|{own}"
    patch = [{"op": "add", "path": "/note", "value": [{"text": "x"}]}]

    def update(each: httpx.Client) -> list[int]:
        body = observation(f"Patient/{own}", identifier=[named], valueString=str(next(_numbers)))
        return [until_done(lambda: each.put(address, json=body)).status_code for _ in range(5)]

    def change(each: httpx.Client) -> list[int]:
        return [until_done(lambda: each.patch(address, json=patch, headers=JSON_PATCH)).status_code for _ in range(5)]

    def remove(each: httpx.Client) -> list[int]:
        return [until_done(lambda: each.delete(address)).status_code for _ in range(5)]

    answers = at_once(site, *[update] * EACH, *[change] * EACH, *[remove] * EACH)
    updates, changes, removals = (set(itertools.chain(*answers[at : at + EACH])) for at in (0, EACH, 2 * EACH))
    assert updates <= {200, 201}
    assert changes <= {200, 404}
    assert removals == {204}
    assert fhir.get(f"{address}&_summary=count").json()["total"] in {0, 1}
    made = {each["fullUrl"] for each in everything(fhir, "/Observation/_history?_count=200") if own in str(each)}
    for full_url in made:
        numbers = versions_of(fhir, full_url)
        assert numbers == list(range(len(numbers), 0, -1))


def everything(fhir: httpx.Client, address: str) -> Iterator[dict[str, Any]]:
    """Yield the entries of all pages."""
    following: str | None = address
    while following is not None:
        page = fhir.get(following).json()
        yield from page.get("entry", ())
        following = next((each["url"] for each in page["link"] if each["relation"] == "next"), None)


@pytest.mark.parametrize("kind", ["/Observation/_history", "/_history"])
def test_fhir_V3_pages_of_a_history_hold_every_version_once_while_others_write(site: Site, fhir, own: str, kind: str):
    keys = [f"{own}-{number}" for number in range(12)]
    for version in range(3):
        for each in keys:
            body = observation(f"Patient/{own}", id=each, valueInteger=version)
            fhir.put(f"/Observation/{each}", json=body).raise_for_status()
    ended = threading.Event()

    def store(each: httpx.Client, name: str, number: int) -> None:
        body = observation(f"Patient/{own}", id=name, valueInteger=number)
        until_done(lambda: each.put(f"/Observation/{name}", json=body)).raise_for_status()

    def write(each: httpx.Client) -> None:
        for number in itertools.count(100):
            if ended.is_set():
                return
            store(each, keys[number % len(keys)], number)

    def read(each: httpx.Client) -> list[list[tuple[str, str, str]]]:
        try:
            return [
                [
                    (entry["fullUrl"].rpartition("/")[2], entry["response"]["etag"], entry["response"]["lastModified"])
                    for entry in everything(each, f"{kind}?_count=7")
                ]
                for _ in range(4)
            ]
        finally:
            ended.set()

    walks = next(found for found in at_once(site, read, write, write) if found)
    before = {(name, f'W/"{number}"') for name in keys for number in (1, 2)}
    for walk in walks:
        seen = [(name, etag) for name, etag, _ in walk]
        assert len(seen) == len(set(seen))
        assert before <= set(seen)
        times = [time for *_, time in walk]
        assert times == sorted(times, reverse=True)
        for name in keys:
            numbers = [int(etag.strip('W/"')) for each, etag in seen if each == name]
            assert numbers == list(range(numbers[0], 0, -1))

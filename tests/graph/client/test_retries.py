"""What the client sends again, how long it waits, and what it says when it gives up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx
import pytest

from fhir_server.graph_client import client as blocking
from fhir_server.graph_client.asynchronous import AsyncPatientGraphClient
from fhir_server.graph_client.client import PatientGraphClient
from fhir_server.graph_client.results import (
    Failed,
    Ok,
    PatientGraphError,
    RateLimited,
    Refused,
    ServerFailed,
    Unauthorized,
    Unreachable,
)
from fhir_server.graph_client.retries import Retries
from fhir_server.graph_client.sent import NewEvent, NewLab, NewReading, NewReadings
from fhir_server.graph_client.wire import retry_after

NOW = "2026-03-01T12:00:00Z"
EVENT = {"id": "e", "customerId": "c", "type": "note_added", "createdAt": NOW, "updatedAt": NOW}
CREATED = httpx.Response(201, json={"success": True, "data": EVENT})
EMPTY = {"page": 1, "limit": 20, "offset": 0, "total": 0, "hasMore": False}
LISTED = httpx.Response(200, json={"success": True, "data": [], "pagination": EMPTY})
BUSY = httpx.Response(503, json={"success": False, "error": {"code": "SERVICE_UNAVAILABLE", "message": "Busy"}})
NEW_EVENT = NewEvent(customer_id="c", type="note_added")


def limited(seconds: int) -> httpx.Response:
    error = {"code": "RATE_LIMIT_EXCEEDED", "message": "Too many requests.", "retryAfter": seconds}
    return httpx.Response(429, json={"success": False, "error": error}, headers={"Retry-After": str(seconds)})


class Script:
    """A server that answers as it is told to, one answer after the other; `waits` are the pauses between."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.waits: list[float] = []
        self.requests: list[httpx.Request] = []
        self.answers: list[httpx.Response | Exception] = []
        monkeypatch.setattr(blocking.time, "sleep", self.waits.append)

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        told = self.answers.pop(0)
        if isinstance(told, Exception):
            raise told
        return httpx.Response(told.status_code, headers=told.headers, content=told.content)

    def client(self, answers: Sequence[httpx.Response | Exception], **more: Any) -> PatientGraphClient:
        self.answers = list(answers)
        retries = more.pop("retries", Retries(draw=lambda low, high: high))
        transport = httpx.MockTransport(self.answer)
        return PatientGraphClient("https://graph.example/graph", "token", transport=transport, retries=retries, **more)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    return Script(monkeypatch)


def test_what_is_only_read_is_asked_again_with_growing_pauses(script: Script):
    client = script.client([BUSY, httpx.ConnectError("refused"), httpx.ReadTimeout("late"), LISTED])
    assert client.events.list(customer_id="c").ok
    assert script.waits == [0.2, 0.4, 0.8]


def test_a_change_is_not_sent_again_when_nobody_knows_what_became_of_it(script: Script):
    assert script.client([BUSY]).events.create(NEW_EVENT) == Failed(ServerFailed("Busy", 503))
    found = script.client([httpx.ReadTimeout("late")]).events.create(NEW_EVENT)
    assert found == Failed(Unreachable("ReadTimeout: late"))
    assert script.waits == []


def test_a_change_that_was_not_taken_is_sent_again_after_the_time_that_the_server_says(script: Script):
    found = script.client([limited(7), CREATED]).events.create(NEW_EVENT)
    assert isinstance(found, Ok)
    assert found.created
    assert script.waits == [7.2]
    assert script.requests[0].content == script.requests[1].content


@pytest.mark.parametrize(
    "send",
    [
        lambda client: client.labs.create(NewLab(customer_id="c", biomarkers={}, upload_id="u")),
        lambda client: client.wearables.ingest(
            NewReadings(
                readings=[
                    NewReading(
                        customer_id="c", data_type="hrv", value=Decimal("61.50"), unit="ms", source="oura",
                        recorded_at=datetime(2026, 3, 1, tzinfo=UTC),
                    )
                ]
            )
        ),
    ],
)  # fmt: skip
def test_what_may_be_sent_twice_is(script: Script, send: Callable[[PatientGraphClient], object]):
    client = script.client([BUSY] * 4)
    assert send(client) == Failed(ServerFailed("Busy", 503))
    assert len(script.requests) == 4


def test_a_report_without_upload_is_sent_once(script: Script):
    script.client([BUSY]).labs.create(NewLab(customer_id="c", biomarkers={}))
    assert len(script.requests) == 1


def test_a_pause_that_is_too_long_is_the_callers_business(script: Script):
    found = script.client([limited(3600)]).events.list(customer_id="c")
    assert found == Failed(RateLimited("Too many requests.", 3600))
    assert script.waits == []


def test_a_token_that_is_no_longer_taken_is_asked_for_anew_once(script: Script):
    tokens = iter(["old", "new", "newer"])
    unauthorized = httpx.Response(401, json={"success": False, "error": {"code": "UNAUTHORIZED", "message": "Expired"}})
    script.answers = [unauthorized, LISTED, unauthorized, unauthorized]
    transport = httpx.MockTransport(script.answer)
    client = PatientGraphClient("https://graph.example/graph", lambda: next(tokens), transport=transport)
    assert client.events.list(customer_id="c").ok
    assert [each.headers["authorization"] for each in script.requests] == ["Bearer old", "Bearer new"]
    assert client.events.list(customer_id="c") == Failed(Unauthorized("Expired"))


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (httpx.Response(500, text="<html>"), ServerFailed("the server answered 500", 500, None)),
        (
            httpx.Response(418, json={"success": False, "error": {"code": "X", "message": "No"}}),
            Refused("No", 418, "X"),
        ),
        (httpx.Response(200, json={"data": 7}), None),
        (httpx.Response(200, text="<html>"), None),
    ],
)
def test_answers_that_are_none_of_this_api_are_told_as_failures(script: Script, answer: httpx.Response, error: object):
    found = script.client([answer]).events.create(NEW_EVENT)
    assert isinstance(found, Failed)
    assert isinstance(found.error, ServerFailed) if error is None else found.error == error
    with pytest.raises(PatientGraphError):
        found.unwrap()


def test_ids_and_values_reach_the_server_as_they_are(script: Script):
    client = script.client([httpx.Response(404, json={"error": {"code": "NOT_FOUND", "message": "Lab not found"}})])
    client.labs.get("a/../b?c=d e")
    assert script.requests[0].url.raw_path == b"/graph/labs/a%2F..%2Fb%3Fc%3Dd%20e"


def test_decimals_are_sent_with_their_digits_and_what_is_unset_is_not_sent(script: Script):
    reading = NewReading(
        customer_id="c", data_type="hrv", value=Decimal("61.50"), unit="ms", source="oura",
        recorded_at=datetime(2026, 3, 1, tzinfo=UTC),
    )  # fmt: skip
    told = httpx.Response(200, json={"data": {"received": 1, "created": 1, "corrected": 0, "unchanged": 0}})
    script.client([told]).wearables.ingest(NewReadings(readings=[reading]))
    assert script.requests[0].content == (
        b'{"readings":[{"customerId":"c","dataType":"hrv","value":61.50,"unit":"ms","source":"oura",'
        b'"recordedAt":"2026-03-01T00:00:00Z"}]}'
    )


def test_retry_after_is_seconds_or_a_date():
    now = datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert retry_after({"retry-after": "7"}) == 7
    assert retry_after({"retry-after": "Sun, 01 Mar 2026 12:00:30 GMT"}, now) == 30
    assert retry_after({"retry-after": "Sun, 01 Mar 2026 11:00:00 GMT"}, now) == 0
    assert retry_after({"retry-after": "soon"}) is retry_after({}) is None


async def test_the_asynchronous_client_does_the_same(monkeypatch: pytest.MonkeyPatch):
    script = Script(monkeypatch)
    script.answers = [httpx.ConnectError("refused"), BUSY, LISTED]

    async def token() -> str:
        return "token"

    retries = Retries(first=0.0)
    transport = httpx.MockTransport(script.answer)
    async with AsyncPatientGraphClient(
        "https://graph.example/graph", token, transport=transport, retries=retries
    ) as client:
        assert (await client.events.list(customer_id="c")).ok
    assert len(script.requests) == 3

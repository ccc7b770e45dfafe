"""Limits at the patient graph API: per address before it is known who asks, then per user (settled §5)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import httpx
import pytest

from fhir_server.limits.limit import Limit
from tests.graph.kit import JANE, GraphSite, running_graph

HEADERS = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset")


@pytest.fixture(scope="module")
def limited(database_url: str) -> Iterator[GraphSite]:
    with running_graph(database_url, graph_user_limit=Limit(20, 60), graph_address_limit=Limit(1000, 60)) as made:
        yield made


@pytest.fixture
def strict(fresh_database_url: str) -> Iterator[Callable[..., httpx.Client]]:
    limits = {"graph_user_limit": Limit(3, 60), "graph_address_limit": Limit(5, 60)}
    with running_graph(fresh_database_url, **limits) as made:
        yield made.client


def test_security_RL1_who_is_refused_without_end_leaves_no_more_in_the_audit(fresh_database_url: str) -> None:
    more = {"graph_user_limit": Limit(2, 60), "graph_address_limit": Limit(4, 60), "fhir_limit": Limit(1, 60)}
    with running_graph(fresh_database_url, **more) as site:
        client, fhir = site.client("CLINICIAN"), site.site.client()
        graph_answers = [client.get("/profiles") for _ in range(6)]
        fhir_answers = [fhir.get("/Patient") for _ in range(3)]
        answers = graph_answers + fhir_answers
        recorded = site.audit(*(answer.headers["x-request-id"] for answer in answers))
    assert [answer.status_code for answer in answers] == [200, 200, 429, 429, 429, 429, 200, 429, 429]
    assert [answer.headers["x-request-id"] in recorded for answer in answers] == [
        answer.status_code == 200 for answer in answers
    ]


def test_security_RL1_webhooks_have_a_limit_of_their_own_for_each_address(fresh_database_url: str) -> None:
    with running_graph(fresh_database_url, graph_webhook_limit=Limit(3, 60)) as site:
        client = site.client("CLINICIAN")
        answers = [client.post("/webhooks/rimo", json={"type": "order.created"}) for _ in range(4)]
        other = client.get("/profiles")
    assert [answer.status_code for answer in answers] == [401, 401, 401, 429]
    assert [told(answer)[:2] for answer in answers] == [[3, 2], [3, 1], [3, 0], [3, 0]]
    assert other.status_code == 200


def told(answer: httpx.Response) -> list[int]:
    return [int(answer.headers[name]) for name in HEADERS]


def test_security_RL1_a_user_above_the_limit_is_refused_as_documented(strict: Callable[..., httpx.Client]) -> None:
    client = strict("CLINICIAN")
    answers = [client.get("/profiles") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert [told(answer)[:2] for answer in answers] == [[3, 2], [3, 1], [3, 0], [3, 0]]
    refused = answers[-1].json()["error"]
    seconds = refused["retryAfter"]
    assert 1 <= seconds <= 60
    assert refused["code"] == "RATE_LIMIT_EXCEEDED"
    assert refused["message"] == f"Too many requests. Try again in {seconds} seconds."
    assert answers[-1].headers["retry-after"] == str(seconds)
    assert abs(told(answers[-1])[2] - time.time() - seconds) <= 5


def test_security_RL1_an_address_above_the_limit_is_refused_whoever_asks(strict: Callable[..., httpx.Client]) -> None:
    client = strict("CLINICIAN")
    stranger = {"Authorization": "Bearer x"}
    answers = [client.get("/profiles", headers=stranger) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [401] * 5
    assert [told(answer)[:2] for answer in answers] == [[5, left] for left in (4, 3, 2, 1, 0)]
    refused = client.get("/profiles")
    assert (refused.status_code, told(refused)[:2]) == (429, [5, 0])


def test_security_RL1_the_description_counts_for_the_address_too(strict: Callable[..., httpx.Client]) -> None:
    client = strict("CLINICIAN")
    answers = [client.get("/openapi.json") for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200] * 5
    refused = client.get("/openapi.json")
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "RATE_LIMIT_EXCEEDED")
    assert refused.headers["cache-control"] == "no-store"
    assert refused.headers["retry-after"]


def test_security_RL1_each_user_has_a_limit_of_their_own(strict: Callable[..., httpx.Client]) -> None:
    assert [strict("CLINICIAN").get("/profiles").status_code for _ in range(3)] == [200] * 3
    assert strict("PATIENT", customer=JANE).get(f"/profiles/{JANE.customer}").status_code == 200


def test_security_RL1_every_answer_tells_where_its_caller_stands(limited: GraphSite) -> None:
    clinician, patient = limited.client("CLINICIAN"), limited.client("PATIENT", customer=JANE)
    answers = {
        200: clinician.get("/profiles"),
        400: clinician.get("/profiles?limit=many"),
        401: clinician.get("/profiles", headers={"Authorization": "Bearer x"}),
        403: patient.get("/profiles/nobody-0000"),
        404: clinician.get("/profiles/nobody-0000"),
        405: clinician.delete("/profiles"),
    }
    assert {status: answer.status_code for status, answer in answers.items()} == {status: status for status in answers}
    limits = {status: told(answer)[0] for status, answer in answers.items()}
    assert limits == {200: 20, 400: 20, 401: 1000, 403: 20, 404: 20, 405: 20}

"""Strangers cannot make the server write without end: requests that begin, clients that are refused (security RL-1)."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest
from sqlalchemy import func, select
from starlette.requests import Request

from fhir_server.oauth import pace
from fhir_server.oauth.errors import TooManyAttempts
from fhir_server.oauth.pace import AUTHORIZE, MOST, MOST_KNOWN, REFUSED, WINDOW_SECONDS, Pace, network_of
from storage.authorization.opaque import digest, new_opaque
from storage.authorization.requests import AuthorizationRequest, add_request, claim_request
from storage.authorization.upkeep import forget
from storage.engine import Database
from storage.tables.authorization import authorization_requests
from tests.oauth.granting import new_client
from tests.pages.people import trail
from tests.site import Site, site

__all__ = ["site"]

NOW = 1_800_000_000


def from_(address: str | None) -> Request:
    return Request({"type": "http", "headers": [], "client": None if address is None else (address, 4321)})


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("::1", "::/64"),
        ("", ""),
        (None, ""),
        ("socket", "socket"),
    ],
)
def test_security_AU3_whoever_has_a_network_of_IPv6_is_one_address(address: str | None, network: str):
    assert network_of(from_(address)) == network


def test_security_RL1_so_many_a_minute_and_no_more_each_kind_and_network_by_itself():
    kept = Pace(3)
    for _ in range(3):
        kept.require(from_("192.0.2.1"), AUTHORIZE, NOW)
    with pytest.raises(TooManyAttempts) as refused:
        kept.require(from_("192.0.2.1"), AUTHORIZE, NOW + 20)
    assert refused.value.retry_after == WINDOW_SECONDS - 20
    kept.require(from_("192.0.2.2"), AUTHORIZE, NOW + 20)
    kept.require(from_("192.0.2.1"), REFUSED, NOW + 20)
    kept.require(from_("192.0.2.1"), AUTHORIZE, NOW + WINDOW_SECONDS)


def test_security_RL1_a_clock_that_goes_back_stops_nobody():
    kept = Pace(1)
    kept.require(from_("192.0.2.1"), AUTHORIZE, NOW)
    kept.require(from_("192.0.2.1"), AUTHORIZE, NOW - 5)


def test_security_RL1_what_is_counted_takes_no_more_room_than_it_may(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pace, "MOST_KNOWN", 10)
    kept = Pace()
    for number in range(50):
        kept.require(from_(f"192.0.2.{number}"), AUTHORIZE, NOW)
    assert len(kept._counts) == 10
    assert MOST_KNOWN >= 10_000


def until_429(ask: Callable[[httpx.Client], httpx.Response], site: Site) -> httpx.Response:
    with httpx.Client(base_url=site.settings.base_url, timeout=30) as client:
        for _ in range(2 * MOST + 1):  # the minute may turn meanwhile
            answer = ask(client)
            if answer.status_code == 429:
                return answer
    raise AssertionError("nobody is told to wait")


def test_security_RL1_who_begins_without_end_has_to_wait(site: Site):
    answer = until_429(lambda client: client.get("/oauth/authorize?client_id=nobody"), site)
    assert 1 <= int(answer.headers["Retry-After"]) <= WINDOW_SECONDS
    assert answer.headers["Cache-Control"] == "no-store"


def test_security_RL1_who_is_refused_without_end_leaves_no_more_in_the_audit(site: Site):
    form = {"grant_type": "refresh_token", "refresh_token": "x", "client_id": "nobody"}
    answer = until_429(lambda client: client.post("/oauth/token", data=form), site)
    assert answer.json()["error"] == "slow_down"
    before = len(trail(site, "unknown"))
    assert httpx.post(f"{site.settings.base_url}/oauth/token", data=form).status_code == 429
    assert len(trail(site, "unknown")) == before


async def test_requests_that_nobody_came_for_are_forgotten_as_soon_as_they_have_expired(fresh_database: Database):
    client = await new_client(fresh_database)
    ids = {name: digest(new_opaque()) for name in ("alone", "claimed", "waiting")}
    async with fresh_database.platform() as connection:
        for name, request_id in ids.items():
            until = NOW + 60 if name == "waiting" else NOW - 60
            await add_request(connection, AuthorizationRequest(request_id, client.id, {}, NOW - 900, until))
        assert await claim_request(connection, ids["claimed"], "browser", NOW - 120) is not None
    assert await forget(fresh_database, NOW, 86_400) == {"authorization_requests": 1}
    async with fresh_database.platform() as connection:
        assert await connection.scalar(select(func.count()).select_from(authorization_requests)) == 2

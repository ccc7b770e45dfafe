"""Database away: 503 with Retry-After, half a bundle never, and back without a restart (security DU-1, DU-7)."""

from __future__ import annotations

import time

import pytest
from sqlalchemy import make_url

from tests.postgres import PostgresServer, execute
from tests.site import issues, observation, patient, running_site


@pytest.fixture
def own_site(postgres: PostgresServer):
    with running_site(postgres.fresh()) as site:
        yield site


def shut(site, postgres, *, closed):
    """Refuse connections to the site's database and end those there are, or let them in again."""
    name = make_url(site.settings.database_url).database
    execute(
        postgres.url("postgres"),
        f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS {"false" if closed else "true"}',
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'",
    )


def test_requests_get_503_with_retry_after_and_nothing_is_half_written(own_site, postgres):
    fhir = own_site.client()
    key = fhir.post("/Patient", json=patient()).json()["id"]
    bundle = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {"request": {"method": "POST", "url": "Observation"}, "resource": observation(f"Patient/{key}")}
            for _ in range(20)
        ],
    }
    shut(own_site, postgres, closed=True)
    for answer in (
        fhir.get(f"/Patient/{key}"),
        fhir.get("/Patient"),
        fhir.post("/Patient", json=patient()),
        fhir.post("/", json=bundle),
    ):
        assert (answer.status_code, issues(answer)[0]["code"]) == (503, "transient")
        assert int(answer.headers["retry-after"]) > 0
    assert fhir.get("/metadata").status_code == 200
    shut(own_site, postgres, closed=False)
    deadline = time.monotonic() + 30
    while fhir.get(f"/Patient/{key}").status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert fhir.get("/Observation?_summary=count").json()["total"] == 0
    assert fhir.post("/", json=bundle).status_code == 200


def test_readiness_tells_a_database_that_is_away(own_site, postgres):
    import httpx

    ready = f"{own_site.settings.base_url}/readyz"
    assert httpx.get(ready).status_code == 200
    shut(own_site, postgres, closed=True)
    assert httpx.get(ready, timeout=20).status_code == 503
    assert httpx.get(f"{own_site.settings.base_url}/healthz").status_code == 200
    shut(own_site, postgres, closed=False)

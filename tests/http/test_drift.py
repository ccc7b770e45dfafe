"""A server whose database is not as declared starts, says so, and serves what it has."""

from __future__ import annotations

from typing import Any

import httpx

from mappers import systems
from tests.site import issues, running_site
from tests.storage.test_migrations import WITHOUT_PHONE, run

CUSTOMER: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "c1",
    "identifier": [{"system": systems.LOGIN, "value": "user_1"}],
    "name": [{"use": "official", "family": "Quimby", "given": ["Ada"]}],
    "telecom": [{"system": "email", "value": "ada@example.org"}],
}


def test_a_server_starts_with_drift_tells_of_it_and_goes_on_reading(fresh_database_url: str):
    with running_site(fresh_database_url) as site:
        assert httpx.get(f"{site.settings.base_url}/readyz").json() == {"status": "ready"}
        assert site.client().put("/Patient/c1", json=CUSTOMER).status_code == 201
    run(fresh_database_url, *WITHOUT_PHONE)
    with running_site(fresh_database_url) as site:
        ready = httpx.get(f"{site.settings.base_url}/readyz")
        assert ready.status_code == 200
        assert ready.json()["drift"] == [
            {
                "kind": "column gone",
                "table": "customer_profiles",
                "column": "phone_number",
                "stops": True,
                "mappers": ["customer_profile"],
            }
        ]
        fhir = site.client()
        assert fhir.get("/Patient/c1").json()["name"] == CUSTOMER["name"]
        assert fhir.get("/Patient?family=quimby").json()["entry"][0]["resource"]["id"] == "c1"
        refused = fhir.put("/Patient/c1", json=CUSTOMER | {"gender": "female"})
        assert refused.status_code == 503
        assert issues(refused)[0]["code"] == "transient"
        assert fhir.put("/Basic/b1", json={"resourceType": "Basic", "id": "b1", "code": {"text": "x"}}).is_success

"""What a provider's document says must not lead a record into somebody else's (security AZ-8)."""

from __future__ import annotations

from sqlalchemy import insert, text

from storage.access import Access
from storage.projection.reconcile import reconcile
from storage.tables.health_hub import profile_fhir_resources_clean
from tests.conftest import OTHER_ORGANIZATION as HUB
from tests.regressions.shop import BASE, OWN, Shop

USERS = "INSERT INTO users (id, email) VALUES ('a', 'a@x.example'), ('b', 'b@x.example')"
PROFILES = (
    "INSERT INTO profiles (organization_id, id, user_id, display_name)"
    f" VALUES ('{HUB}', 'anna', 'a', 'Anna'), ('{HUB}', 'boris', 'b', 'Boris')"
)


async def test_a_document_that_names_a_Patient_here_by_its_address_is_not_that_persons(shop: Shop) -> None:
    for statement in (USERS, PROFILES):
        await shop.execute(text(statement), HUB)
    document = {"resourceType": "Condition", "subject": {"reference": f"{BASE}/Patient/boris"}, "code": {"text": "x"}}
    row = {"organization_id": HUB, "id": "c", "profile_id": "anna", "resource_type": "Condition", "sources": []}
    await shop.execute(insert(profile_fhir_resources_clean).values(clean_json=document, **row), HUB)
    await reconcile(shop.database, HUB, fix=True)
    boris = Access(HUB, "boris", "PATIENT", "app", dict.fromkeys(("Patient", "Condition"), OWN), patient="boris")
    assert await shop.ids("Patient?", boris) == ["boris"]
    assert await shop.ids("Condition?", boris) == []

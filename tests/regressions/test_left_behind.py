"""Index rows that were left behind, by whatever fault, show nobody what is not theirs (security AZ-2, DU-2)."""

from __future__ import annotations

from sqlalchemy import insert, update

from storage.search.keys import self_key, token_key
from storage.tables import fhir
from tests.conftest import ORGANIZATION
from tests.regressions.shop import SYSTEM, Shop, bound, observed, person

FINAL = token_key("Observation", "code", "8867-4")


async def leave_token(shop: Shop, rid: int, patient: str) -> None:
    """Leave a token row that says a resource is about a patient."""
    row = {"organization_id": ORGANIZATION, "key": FINAL, "patient": self_key("Patient", patient), "date": 0}
    await shop.execute(insert(fhir.index_tokens).values(**row, rid=rid, system=0))


async def rid_of(shop: Shop, name: str) -> int:
    key = self_key(*name.split("/"))
    ((rid,),) = await shop.execute(fhir.resources.select().with_only_columns(fhir.resources.c.rid).where(
        fhir.resources.c.organization_id == ORGANIZATION, fhir.resources.c.self_key == key
    ))  # fmt: skip
    return int(rid)


async def test_security_AZ2_a_token_row_of_another_patient_shows_him_nothing(shop: Shop) -> None:
    for name in ("a", "b"):
        await shop.put(f"Patient/{name}", person())
    await shop.put("Observation/of-b", observed("Patient/b"))
    await leave_token(shop, await rid_of(shop, "Observation/of-b"), "a")
    assert await shop.ids("Observation?code=8867-4", bound("a")) == []
    assert await shop.ids("Observation?code=8867-4&patient=a", bound("a")) == []
    assert await shop.ids("Observation?code=8867-4", bound("b")) == ["of-b"]


async def test_fhir_X1_a_token_row_of_a_deleted_resource_shows_nothing(shop: Shop) -> None:
    await shop.put("Patient/a", person())
    await shop.put("Observation/o", observed("Patient/a"))
    rid = await rid_of(shop, "Observation/o")
    await shop.delete("Observation/o")
    await leave_token(shop, rid, "a")
    assert await shop.ids("Observation?code=8867-4") == []
    assert await shop.ids("Observation?code=8867-4", bound("a")) == []


async def test_security_DU2_token_rows_go_with_what_the_resources_row_says_of_its_patient(shop: Shop) -> None:
    """As after a change of the rules, or of the server's own address: they give another patient for the old body."""
    for name in ("a", "b"):
        await shop.put(f"Patient/{name}", person())
    await shop.put("Observation/o", observed("Patient/b"))
    rows, tokens = fhir.resources, fhir.index_tokens
    rid, key = await rid_of(shop, "Observation/o"), self_key("Patient", "a")
    for table in (rows, tokens):
        own = (table.c.organization_id == ORGANIZATION, table.c.rid == rid)
        await shop.execute(update(table).where(*own).values(patient=key))
    await shop.put("Observation/o", observed("Patient/b", note=[{"text": "changed"}]))
    left = await shop.execute(
        tokens.select().where(tokens.c.organization_id == ORGANIZATION, tokens.c.rid == rid, tokens.c.patient == key)
    )
    assert left == []
    assert await shop.ids("Observation?code=8867-4&patient=b", SYSTEM) == ["o"]

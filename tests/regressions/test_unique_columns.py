"""Writing tells nobody which e-mail addresses and login ids are in use, and nobody becomes someone else (AZ-7)."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from fhir_server.outcome import outcome_for
from mappers import systems
from mappers.rows import CustomerProfile, IdentityMapping
from storage.access import Access
from storage.errors import IdentityOutsideAccess, MappingRefused
from storage.repositories.profiles import ProfileRepository
from storage.tables import fhir
from storage.tables import patient_graph as tables
from storage.transaction import UnitOfWork
from tests.conftest import ORGANIZATION
from tests.regressions.shop import CHANGE, Shop, bound, person

MRN = f"{systems.CUSTOMER}mrn"
IN_USE, FREE = "taken@example.com", "other@example.com"


def mapping(customer: str, value: str) -> IdentityMapping:
    return IdentityMapping(f"m-{customer}", ORGANIZATION, customer, "mrn", None, value)


CUSTOMERS = (
    CustomerProfile("c1", ORGANIZATION, "user_1", "jane@example.com", first_name="Jane", last_name="Doe"),
    CustomerProfile("c2", ORGANIZATION, "user_2", IN_USE, last_name="Roe", identity_mappings=(mapping("c2", "mrn-2"),)),
)


@pytest.fixture
async def customers(shop: Shop) -> Shop:
    async def add(unit: UnitOfWork) -> None:
        for customer in CUSTOMERS:
            await ProfileRepository(unit).insert(customer)

    await shop.database.transact(ORGANIZATION, CHANGE, add)
    return shop


async def column(shop: Shop, name: str, customer: str = "c1") -> Any:
    table = tables.customer_profiles
    ((value,),) = await shop.execute(select(table.c[name]).where(table.c.id == customer))
    return value


async def with_email(shop: Shop, email: str, access: Access) -> dict[str, Any]:
    """Give the own record another e-mail address, and return what it shows then."""
    shown = await shop.read("Patient/c1", access)
    for telecom in shown["telecom"]:
        telecom["value"] = email if telecom["system"] == "email" else telecom["value"]
    await shop.put("Patient/c1", shown, access)
    after = await shop.read("Patient/c1", access)
    assert [each["value"] for each in after["telecom"] if each["system"] == "email"] == [email]
    return after


async def test_security_AZ7_an_email_in_use_is_taken_as_a_free_one_is(customers: Shop) -> None:
    own = bound("c1", "Patient")
    answers = []
    for email in (IN_USE, FREE):
        after = await with_email(customers, email, own)
        after["telecom"][0]["value"] = "the e-mail"
        answers.append({**after, "meta": {}})
        assert await column(customers, "email") == "jane@example.com"
    assert answers[0] == answers[1]


async def test_security_AZ7_what_a_patient_wrote_is_not_made_the_columns_by_who_writes_it_back(customers: Shop) -> None:
    for email in (IN_USE, FREE):
        shown = await with_email(customers, email, bound("c1", "Patient"))
        shown["birthDate"] = "1985-06-15" if email == FREE else "1985-06-14"
        await customers.put("Patient/c1", shown)
        assert await column(customers, "email") == "jane@example.com"
        assert (await customers.read("Patient/c1"))["telecom"][0]["value"] == email
    assert str(await column(customers, "date_of_birth")) == "1985-06-15"


async def test_map_L4_the_organization_changes_the_email_of_a_customer_and_wins(customers: Shop) -> None:
    await with_email(customers, IN_USE, bound("c1", "Patient"))
    shown = await customers.read("Patient/c1")
    shown["telecom"][0]["value"] = "new@example.com"
    await customers.put("Patient/c1", shown)
    assert await column(customers, "email") == "new@example.com"
    shown["telecom"][0]["value"] = IN_USE
    with pytest.raises(MappingRefused):
        await customers.put("Patient/c1", shown)


@pytest.mark.parametrize("native", [False, True], ids=["row", "native"])
@pytest.mark.parametrize(
    "identifiers",
    [
        pytest.param([{"system": systems.LOGIN, "value": "user_2"}], id="login_in_use"),
        pytest.param([{"system": systems.LOGIN, "value": "nobody"}], id="login_free"),
        pytest.param([{"system": MRN, "value": "mrn-2"}], id="mapping_in_use"),
        pytest.param([{"system": MRN, "value": "nothing"}], id="mapping_free"),
        pytest.param([{"system": f"{systems.CUSTOMER}unknown", "value": "1"}], id="unknown_type"),
    ],
)
async def test_security_AZ7_identifiers_that_decide_who_signs_in_are_refused_alike(
    customers: Shop, identifiers: list[dict[str, str]], native: bool
) -> None:
    name = "Patient/n1" if native else "Patient/c1"
    await customers.put("Patient/n1", person("Native"))
    own = bound(name.partition("/")[2], "Patient")
    before = await customers.read(name, own)
    others = [each for each in before.get("identifier", []) if each["system"] != identifiers[0]["system"]]
    with pytest.raises(IdentityOutsideAccess) as refused:
        await customers.put(name, {**before, "identifier": [*others, *identifiers]}, own)
    status, _, body = outcome_for(refused.value, "same")
    assert (status, b"Patient.identifier" in body, identifiers[0]["value"].encode() in body) == (403, True, False)
    assert await customers.read(name) == before


async def test_security_AZ7_identifiers_that_decide_who_signs_in_are_not_dropped_and_others_are_free(
    customers: Shop,
) -> None:
    own = bound("c1", "Patient")
    shown = await customers.read("Patient/c1", own)
    with pytest.raises(IdentityOutsideAccess):
        await customers.put("Patient/c1", {key: value for key, value in shown.items() if key != "identifier"}, own)
    library = {"system": "http://example.org/library", "value": "7"}
    await customers.put("Patient/c1", {**shown, "identifier": [library, *shown["identifier"]]}, own)
    assert library in (await customers.read("Patient/c1", own))["identifier"]


async def test_security_AZ7_a_native_patient_stays_native_whatever_email_the_patient_writes(customers: Shop) -> None:
    known = person("Native", identifier=[{"system": systems.LOGIN, "value": "user_3"}])
    await customers.put("Patient/n1", known)
    for email in (IN_USE, FREE):
        await customers.put(
            "Patient/n1", {**known, "telecom": [{"system": "email", "value": email}]}, bound("n1", "Patient")
        )
        columns = fhir.resources.c
        homes = await customers.execute(select(columns.home_table).where(columns.id == "n1"))
        assert homes == [(None,)]

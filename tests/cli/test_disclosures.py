"""`fhir-server audit disclosures`: the accounting of one person at the command line (45 CFR 164.528)."""

from __future__ import annotations

import asyncio

import pytest

from fhir_server.settings import Settings
from storage.audit import AuditKey
from tests.audit.conftest import a_record, make_store
from tests.cli.conftest import SECRET, Command

KEY = AuditKey(Settings(secret=SECRET).derive("audit"))


@pytest.fixture
def used(command: Command, fresh_database_url: str, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Commands on a database where the data of p1 was used four times, once together with p2's, and once in vain."""
    monkeypatch.setenv("DATABASE_URL", fresh_database_url)
    assert command("init").status == 0

    async def use() -> None:
        store = make_store(fresh_database_url, KEY)
        for n in range(3):
            await store.append([a_record(n, actor_id="dr-a")])
        await store.append([a_record(3, actor_id="dr-b", customer_id=None, patients=["p1", "p2"], purpose="BTG")])
        await store.append([a_record(4, actor_id="dr-c", outcome="denied", status=403)])
        await store.append([a_record(5, actor_id="dr-d", customer_id="p2")])
        await store.close()

    asyncio.run(use())
    return command


def test_164_528_it_names_who_what_for_and_how_often(used: Command):
    told = used("audit", "disclosures", "--patient", "p1", "--json").json
    assert [(each["actorId"], each["purpose"], each["count"]) for each in told["recipients"]] == [
        ("dr-b", "BTG", 1),
        ("dr-a", None, 3),
    ]
    assert (told["records"], told["count"], len(told["accesses"])) == (["p1"], 4, 4)


def test_164_528_it_is_a_table_for_people(used: Command):
    outcome = used("audit", "disclosures", "--patient", "p1")
    assert "dr-a" in outcome.out
    assert "4 accesses" in outcome.err


def test_164_528_a_period_confines_it(used: Command):
    told = used("audit", "disclosures", "--patient", "p1", "--since", "2016-01-01", "--until", "2017-01-01", "--json")
    assert (told.json["count"], told.json["accesses"]) == (0, [])


def test_AD_6_the_accounting_is_recorded_with_whom_it_is_about(used: Command):
    used("audit", "disclosures", "--patient", "p2", "--json")
    last = used("audit", "disclosures", "--patient", "p2", "--json").json["accesses"][0]
    assert (last["actorId"], last["interaction"], last["customerId"]) == ("operator", "disclosures", "p2")


def test_a_wrong_day_is_told(used: Command):
    outcome = used("audit", "disclosures", "--patient", "p1", "--since", "yesterday")
    assert outcome.status == 1
    assert "yesterday is no day" in outcome.err

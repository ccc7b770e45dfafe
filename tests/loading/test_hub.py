"""`fhir-server load` of health-hub JSON: profiles, connections, and records as they were received (settled §2.5)."""

from __future__ import annotations

import json
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from storage.access import Access, Right
from storage.resources import ResourceKey
from storage.tables.health_hub import TENANT_TABLES
from tests.conftest import OTHER_ORGANIZATION
from tests.loading.conftest import Loading

HUB = OTHER_ORGANIZATION
ACCESS = Access(HUB, "operator", "OPERATOR", "fhir-server", {}, everything=frozenset(Right))
SAMPLE = Path(str(files("fhir_server.demo") / "data" / "health_hub.json"))
RECEIVED = (
    '{ "resourceType": "Observation",\n  "valueQuantity":{"value":6.10,"unit":"µg/dL"}, "n": 1E2, "s":"\\u00e9" }'
)
USER = {"id": "u", "email": "laura@example.com", "password_hash": "!", "name": "Laura Bianchi"}
PROFILE = {"id": "p", "user_id": "u", "display_name": "Me", "dob": "1974-08-09", "relationship": "self"}
STATE = {
    "state": "s-secret", "user_id": "u", "profile_id": "p", "provider": "epic", "expires_at": "2025-12-01T10:15:00Z"
}  # fmt: skip
CONNECTION = {
    "id": "c", "profile_id": "p", "provider": "epic", "patient_emr_id": "erX", "access_token_encrypted": "redacted"
}  # fmt: skip
RAW = {"id": "r", "profile_id": "p", "provider": "epic", "resource_type": "Observation", "resource_id": "o1"}
SUMMARY = {"profile_id": "p", "summary_json": None, "status": "error", "updated_at": None}


async def sql(loading: Loading, statement: str) -> list[tuple[Any, ...]]:
    """Return rows of the hub's organization."""
    async with loading.database.read(HUB) as driver:
        cursor = await driver.connection.execute(statement)  # type: ignore[attr-defined]
        return [tuple(row) for row in await cursor.fetchall()]


def document(*raw: str, **tables: Any) -> str:
    """Return the text of a document in which raw records stand as they are given."""
    known = {"users": [USER], "profiles": [PROFILE], "oauth_states": [STATE], "profile_emr_connections": [CONNECTION]}
    rest = {**known, "profile_summary": [SUMMARY], **tables}
    known_raw = [json.dumps(RAW | {"id": f"r{number}", "resource_id": f"o{number}"})[:-1] for number in range(len(raw))]
    rows = ",".join(f"{known}, {text}}}" for known, text in zip(known_raw, raw, strict=True))
    return f'{{"profile_fhir_resources_raw": [{rows}], {json.dumps(rest)[1:]}'


async def test_rows_are_saved_in_the_hubs_organization_and_show_in_fhir(loading: Loading) -> None:
    loading.file("hub.json", document())
    summary = await loading.load_twice()
    assert summary.refused == []
    assert {name: each.written for name, each in summary.rows.items() if each.written} == {
        "users": 1, "profiles": 1, "oauth_states": 1, "profile_emr_connections": 1, "profile_summary": 1,
    }  # fmt: skip
    assert await sql(loading, "SELECT id, organization_id FROM profiles") == [("p", HUB)]
    shown = json.loads((await loading.store.read(ResourceKey("Patient", "p"), ACCESS)).body)
    assert shown["birthDate"] == "1974-08-09"


async def test_settled_2_5_a_raw_record_holds_the_bytes_it_is_written_in(loading: Loading) -> None:
    escaped = f'"resource\\u005fjson":{RECEIVED}'
    texts = [f'"resource_json"  :  {RECEIVED} ', f'"resourceJson":{RECEIVED}', escaped]
    loading.file("hub.json", b"\xef\xbb\xbf" + document(*texts).encode())
    summary = await loading.load_twice()
    assert summary.refused == []
    rows = await sql(loading, "SELECT id, resource_json, sha256 FROM profile_fhir_resources_raw ORDER BY id")
    assert [(key, bytes(data).decode()) for key, data, _ in rows] == [(key, RECEIVED) for key in ("r0", "r1", "r2")]
    assert {digest for _, _, digest in rows} == {sha256(RECEIVED.encode()).hexdigest()}


async def test_a_record_whose_digits_changed_is_another_one(loading: Loading) -> None:
    path = loading.file("hub.json", document('"resource_json": {"value": 6.1}'))
    await loading.load()
    loading.file("hub.json", document('"resource_json": {"value": 6.10}'))
    summary = await loading.load_twice(path)
    assert summary.written == 1
    assert [bytes(row[0]) for row in await sql(loading, "SELECT resource_json FROM profile_fhir_resources_raw")] == [
        b'{"value": 6.10}'
    ]


async def test_so_is_a_clean_record(loading: Loading) -> None:
    clean = {"id": "k", "profile_id": "p", "resource_type": "Observation", "sources": []}
    shown = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}, "valueQuantity": {"value": "?"}}

    def text(value: str) -> str:
        row = json.dumps(clean | {"clean_json": shown}).replace('"?"', value)
        return document()[:-1] + f', "profile_fhir_resources_clean": [{row}]}}'

    path = loading.file("hub.json", text("6.1"))
    await loading.load()
    loading.file("hub.json", text("6.10"))
    assert (await loading.load_twice(path)).rows["profile_fhir_resources_clean"].written == 1
    version = await loading.store.read(ResourceKey("Observation", "k"), ACCESS)
    assert b"6.10" in version.body


@pytest.mark.parametrize(
    ("raw", "tables", "what", "reason"),
    [
        ('"resource_json": null', {}, "profile_fhir_resources_raw", "has to be a resource"),
        ('"resource_json": "{}"', {}, "profile_fhir_resources_raw", "has to be a resource"),
        ('"resource_json": [{}]', {}, "profile_fhir_resources_raw", "has to be a resource"),
        ('"etag": "no resource_json"', {}, "profile_fhir_resources_raw", "needs a value"),
        ('"resource_json": {}, "profileId": "nobody"', {}, "profile_fhir_resources_raw", "refers to is not there"),
        ('"resource_json": {}, "colour": "red"', {}, "profile_fhir_resources_raw", "has no column for colour"),
        (None, {"profile_summary": [SUMMARY | {"status": "fine"}]}, "profile_summary", "has to be one of"),
        (None, {"profile_summary": [{"id": "p"}]}, "profile_summary", "an object whose profile_id is a text"),
        (None, {"profiles": [PROFILE, PROFILE | {"id": "q", "user_id": "x"}]}, "profiles", "refers to is not there"),
        (None, {"profile_emr_connections": [CONNECTION, CONNECTION | {"id": "d"}]}, "profile_emr_", "unique"),
        (None, {"oauth_states": [STATE | {"profile_id": "nobody"}]}, "oauth_states/?", "refers to is not there"),
    ],
)  # fmt: skip
async def test_a_row_that_does_not_fit_is_refused_with_its_reason_and_the_rest_goes_on(
    loading: Loading, raw: str | None, tables: dict[str, Any], what: str, reason: str
) -> None:
    text = document(**tables) if raw is None else document('"resource_json": {}', raw, **tables)
    loading.file("hub.json", text)
    summary = await loading.load_twice()
    assert len(summary.refused) == 1, summary.refused
    assert summary.refused[0].what.startswith(what)
    assert reason in summary.refused[0].reason
    assert "secret" not in str(summary.refused)
    assert await sql(loading, "SELECT id FROM profiles") == [("p",)]


async def test_an_account_that_exists_stays_as_it_is(loading: Loading) -> None:
    path = loading.file("hub.json", document())
    await loading.load()
    theirs = {"email": "mallory@example.com", "password_hash": "theirs", "is_platform_admin": True}
    loading.file("hub.json", document(users=[USER | theirs]))
    summary = await loading.load(path)
    assert (summary.rows["users"].unchanged, summary.refused) == (1, [])
    rows = await sql(loading, "SELECT email, password_hash FROM users WHERE NOT is_platform_admin")
    assert rows == [("laura@example.com", "!")]


async def test_remarks_are_named_and_not_loaded(loading: Loading) -> None:
    loading.file("hub.json", document(_expected_duplicates=[{"same": True}], _remark="free text"))
    summary = await loading.load()
    assert [each.rpartition(": ")[2] for each in summary.ignored] == ["_expected_duplicates", "_remark"]
    assert summary.refused == []


async def test_what_is_loaded_is_on_record_and_names_no_secret(loading: Loading) -> None:
    loading.file("hub.json", document())
    await loading.load_twice()
    rows = await sql(loading, "SELECT resource, resource_ids, customer_id FROM rbac_logs ORDER BY resource")
    assert ("oauth_states", '["?"]', "p") in rows
    assert ("profile_emr_connections", '["c"]', "p") in rows
    assert ("profile_summary", '["p"]', "p") in rows
    assert "secret" not in str(rows)


async def test_the_sample_hub_is_loaded_without_refusals(loading: Loading) -> None:
    written = json.loads(SAMPLE.read_bytes())
    summary = await loading.load_twice(SAMPLE)
    assert summary.refused == []
    assert [each.rpartition(": ")[2] for each in summary.ignored] == ["_expected_duplicates"]
    for table in TENANT_TABLES:
        assert summary.rows[table.name].written == len(written[table.name]), table.name
        assert await sql(loading, f"SELECT count(*) FROM {table.name}") == [(len(written[table.name]),)]
    received = [bytes(row[0]) for row in await sql(loading, "SELECT resource_json FROM profile_fhir_resources_raw")]
    text = SAMPLE.read_bytes()
    assert all(each in text for each in received)
    assert sum(b"14.90" in each for each in received) == 1


def test_the_sample_in_the_repository_is_the_shared_one(shared: Path) -> None:
    assert SAMPLE.read_bytes() == (shared / "data/graph/health_hub.json").read_bytes()

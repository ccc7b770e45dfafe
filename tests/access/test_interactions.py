"""Which letters of a scope each interaction needs: every interaction with every set of letters (smart.md E2, E4, E9).

The table is written by hand. A caller without the letters is refused with 403, and by the same bytes whether or not
what is asked for is there (security AZ-4); a caller with them is not. The letters are tried as rights to the whole
organization, and as rights to one patient's compartment.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations, count
from typing import Any

import httpx
import pytest

from fhir_server.fhir.routing import Interaction, route
from storage.audit_seals import export, open_trails
from storage.rls import ROLE
from tests.conftest import ORGANIZATION
from tests.http.test_on_record import listed, records
from tests.site import Site, observation, patient

LETTERS = "cruds"
SETS = ["".join(some) for size in range(len(LETTERS) + 1) for some in combinations(LETTERS, size)]
OWN = "letters"
"""The Patient whose Observations are asked for."""
JSON_PATCH = {"Content-Type": "application/json-patch+json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
VALUE = [{"op": "add", "path": "/valueString", "value": "x"}]
SEEN, ABSENT = "seen", "never"
_numbers = count(1)


@dataclass(frozen=True)
class Asked:
    """A request that needs one of some sets of letters; `{}` in path or headers is the id of an Observation."""

    method: str
    path: str
    enough: tuple[str, ...]
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    form: str = ""

    def permits(self, letters: str) -> bool:
        return any(set(each) <= set(letters) for each in self.enough)

    def of(self, fhir: httpx.Client, name: str, request_id: str = "same") -> httpx.Response:
        """Send it about one Observation."""
        number = str(next(_numbers))
        path = self.path.format(name, new=f"new-{number}")
        body = self.body(name, number) if callable(self.body) else self.body
        headers = {key: value.format(name) for key, value in self.headers.items()} | {"X-Request-Id": request_id}
        if self.form:
            return fhir.request(self.method, path, content=self.form.format(name), headers=headers)
        return fhir.request(self.method, path, json=body, headers=headers)


def about_own(name: str | None = None, **more: object) -> dict[str, Any]:
    named = {} if name is None else {"id": name}
    return observation(f"Patient/{OWN}", **named, **more)


def named_body(name: str, number: str) -> dict[str, Any]:
    return about_own(name, valueString=number)


def new_body(_name: str, number: str) -> dict[str, Any]:
    return about_own(f"new-{number}")


def nameless_body(_name: str, number: str) -> dict[str, Any]:
    return about_own(valueString=number)


def labels(_name: str, number: str) -> dict[str, Any]:
    return {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": {"tag": [{"code": number}]}}]}


PATH_PATCH = {
    "resourceType": "Parameters",
    "parameter": [
        {
            "name": "operation",
            "part": [{"name": "type", "valueCode": "delete"}, {"name": "path", "valueString": "Observation.note"}],
        }
    ],
}
O = "/Observation"  # noqa: E741 as short as the table wants it
ONE = "/Observation/{}"

TABLE = [
    Asked("GET", ONE, ("r",)),
    Asked("HEAD", ONE, ("r",)),
    Asked("GET", ONE, ("r",), headers={"If-None-Match": 'W/"1"'}),
    Asked("GET", f"{ONE}?_summary=true", ("r",)),
    Asked("GET", f"{ONE}?_elements=status", ("r",)),
    Asked("GET", f"{ONE}/_history/1", ("r",)),
    Asked("GET", f"{ONE}/_history", ("r",)),
    Asked("GET", f"{O}/_history", ("s",)),
    Asked("GET", f"{O}/_history?_count=0", ("s",)),
    Asked("GET", "/_history", ("s",)),
    Asked("GET", f"{O}?_id={{}}", ("s",)),
    Asked("GET", f"{O}?_id={{}}&_summary=count", ("s",)),
    Asked("GET", f"{O}?subject:missing=false&_sort=code", ("s",)),
    Asked("POST", f"{O}/_search", ("s",), headers=FORM, form="_id={}"),
    Asked("GET", "/?_type=Observation&_id={}", ("s",)),
    Asked("GET", "/?_id={}", ("s",)),
    Asked("POST", "/_search", ("s",), headers=FORM, form="_id={}&_type=Observation"),
    Asked("GET", f"/Patient/{OWN}/Observation?_id={{}}", ("s",)),
    Asked("GET", f"/Patient/{OWN}/*?_id={{}}", ("s",)),
    Asked("GET", f"/Patient/{OWN}/*?_id={{}}&_type=Observation", ("s",)),
    Asked("POST", f"/Patient/{OWN}/Observation/_search", ("s",), headers=FORM, form="_id={}"),
    Asked("POST", O, ("c",), nameless_body),
    Asked("POST", O, ("cs",), nameless_body, {"If-None-Exist": "_id={}"}),
    Asked("PUT", ONE, ("u",), named_body),
    Asked("PUT", f"{O}/{{new}}", ("u",), new_body),
    Asked("PUT", f"{O}?_id=seen", ("us",), nameless_body),
    Asked("PUT", f"{O}?_id=nobody", ("cus",), nameless_body),
    Asked("PUT", f"{O}?_id=nobody", ("cus",), new_body),
    Asked("PATCH", ONE, ("u",), VALUE, JSON_PATCH),
    Asked("PATCH", ONE, ("u",), PATH_PATCH),
    Asked("PATCH", f"{O}?_id={{}}", ("us",), VALUE, JSON_PATCH),
    Asked("DELETE", f"{O}/new-{{}}", ("d",)),
    Asked("DELETE", f"{O}?_id=new-{{}}", ("ds",)),
    Asked("GET", f"{O}/$lastn?patient={OWN}&code=29463-7&_id={{}}", ("s",)),
    Asked("GET", f"{ONE}/$lineage", ("r",)),
    Asked("GET", f"{ONE}/$meta", ("r",)),
    Asked("GET", f"{O}/$meta", ("s",)),
    Asked("GET", "/$meta", ("s",)),
    Asked("POST", f"{ONE}/$meta-add", ("ru",), labels),
    Asked("POST", f"{ONE}/$meta-delete", ("ru",), labels),
    Asked("POST", f"{O}/$validate", ("r", "c", "u"), nameless_body),
    Asked("POST", f"{ONE}/$validate", ("r", "c", "u"), named_body),
    Asked("POST", f"{ONE}/$validate?mode=update", ("r", "c", "u"), named_body),
    Asked("GET", f"{ONE}/$validate", ("r",)),
    Asked("GET", f"{ONE}/$validate?mode=delete", ("r",)),
]


@pytest.fixture(scope="module")
def world(fhir: httpx.Client) -> httpx.Client:
    """A Patient with one Observation."""
    fhir.put(f"/Patient/{OWN}", json=patient(id=OWN)).raise_for_status()
    fhir.put(f"/Observation/{SEEN}", json=about_own(SEEN, note=[{"text": "x"}])).raise_for_status()
    return fhir


@pytest.fixture(scope="module", params=["organization", "compartment"])
def callers(site: Site, request: pytest.FixtureRequest) -> dict[str, httpx.Client]:
    """A client for every set of letters for Observations, who may read Patients."""
    within = request.param == "compartment"
    level, claims = ("patient", {"role": "APP", "patient": OWN}) if within else ("system", {})
    scopes = {each: f"{level}/Patient.r" + (f" {level}/Observation.{each}" if each else "") for each in SETS}
    return {each: site.client(scope, **claims) for each, scope in scopes.items()}


def named(asked: Asked) -> str:
    return f"{asked.method} {asked.path} {' or '.join(asked.enough)}"


@pytest.mark.parametrize("asked", TABLE, ids=named)
def test_smart_E2_E9_an_interaction_takes_these_letters_and_no_fewer(world, callers, asked: Asked):
    wrong: dict[str, int] = {}
    for letters, caller in callers.items():
        answer = asked.of(caller, SEEN)
        assert answer.status_code < 500, answer.text
        if (answer.status_code != 403) is not asked.permits(letters):
            wrong[letters] = answer.status_code
    assert not wrong


@pytest.mark.parametrize("asked", [each for each in TABLE if "{}" in f"{each.path}{each.form}"], ids=named)
def test_security_AZ4_a_refusal_is_the_same_whether_or_not_it_is_there(world, callers, asked: Asked):
    for letters, caller in callers.items():
        if not asked.permits(letters):
            there, absent = asked.of(caller, SEEN), asked.of(caller, ABSENT)
            assert there.status_code == absent.status_code == 403
            assert there.content == absent.content
            assert {**there.headers, "date": ""} == {**absent.headers, "date": ""}


@pytest.mark.parametrize("asked", [each for each in TABLE if set(each.headers) <= {"If-None-Exist"}], ids=named)
def test_security_AZ11_an_entry_of_a_batch_needs_the_same_letters(world, callers, asked: Asked):
    conditions = {"ifNoneExist": asked.headers["If-None-Exist"].format(SEEN)} if asked.headers else {}
    for letters, caller in callers.items():
        if len(letters) not in {1, 2, 5}:
            continue
        number = str(next(_numbers))
        body = asked.body(SEEN, number) if callable(asked.body) else asked.body
        url = asked.path.removeprefix("/").format(SEEN, new=f"new-{number}")
        entry = {"request": {"method": asked.method, "url": url, **conditions}, **({"resource": body} if body else {})}
        answer = caller.post("/", json={"resourceType": "Bundle", "type": "batch", "entry": [entry]})
        status = answer.json()["entry"][0]["response"]["status"]
        assert (status != "403") is asked.permits(letters), (letters, answer.text)


def test_security_TN6_every_interaction_has_a_cell():
    paths = ((each, each.path.partition("?")[0].removeprefix("/").format(SEEN, new="new")) for each in TABLE)
    tried = {route(each.method, path).interaction for each, path in paths}
    assert tried == set(Interaction) - {Interaction.BUNDLE, Interaction.CAPABILITIES}


@pytest.mark.parametrize("absent", ["Patient", "Encounter", "Practitioner"])
def test_security_AZ4_a_compartment_is_refused_before_its_owner_is_looked_for(world, site: Site, absent: str):
    reader = site.client(f"system/{absent}.r")
    for within in ("Observation", "*"):
        answers = [reader.get(f"/{absent}/{name}/{within}", headers={"X-Request-Id": "x"}) for name in (OWN, "never")]
        assert [each.status_code for each in answers] == [403, 403]
        assert answers[0].content == answers[1].content


@pytest.mark.parametrize(("letters", "shown"), [("u", False), ("cus", False), ("ru", True)])
def test_smart_E3_who_may_not_read_is_not_shown_what_an_update_left(world, site: Site, letters: str, shown: bool):
    tag = {"system": "http://example.org/labels", "code": "hidden"}
    world.put(f"/Observation/{SEEN}", json=about_own(SEEN, meta={"tag": [tag]})).raise_for_status()
    writer = site.client(f"system/Observation.{letters}")
    headers = {"Prefer": "return=representation"}
    addresses = [f"/Observation/{SEEN}", *(f"/Observation?_id={SEEN}" for _ in letters if _ == "s")]
    for address in addresses:
        answer = writer.put(address, json=named_body(SEEN, str(next(_numbers))), headers=headers)
        assert (answer.status_code, "hidden" in answer.text) == (200, shown)
        assert answer.headers["etag"]


# --- on record --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def recorded(world: httpx.Client, site: Site) -> dict[str, dict[str, Any]]:
    """Every interaction, allowed and denied, with its answer and what the trails say of it."""
    reader = site.client("system/Basic.r")
    found: dict[str, dict[str, Any]] = {}
    for number, asked in enumerate(TABLE):
        for kind, caller in (("allowed", world), ("denied", reader)):
            name = f"on-record-{number}-{kind}"
            found[name] = {"asked": asked, "answer": asked.of(caller, SEEN, name), "records": []}
    for trail in open_trails(site.settings.database_url, role=ROLE):
        for each in export(trail, ORGANIZATION):
            if each.get("request_id") in found:
                found[each["request_id"]]["records"].append(each)
    return found


@pytest.mark.parametrize("number", range(len(TABLE)), ids=lambda number: named(TABLE[number]))
def test_security_AD1_who_asked_what_and_about_whom_is_on_record(recorded, number: int):
    each = recorded[f"on-record-{number}-allowed"]
    asked, answer = each["asked"], each["answer"]
    assert answer.is_success or answer.status_code == 304, answer.text
    (record,) = each["records"]
    assert (record["actor_id"], record["client_id"], record["outcome"]) == ("tester", "tests", "allowed")
    assert (record["status"], record["method"]) == (answer.status_code, asked.method)
    assert record["action"] == expected_action(asked)
    ids = {name.rpartition("/")[2] for name in listed(record["resource_ids"])}
    patients = {record["customer_id"], *listed(record["patients"])}
    shown = ids_in(answer.json()) if answer.content and answer.is_success else set()
    assert shown <= ids
    if SEEN in shown or (asked.path.startswith("/Observation/{}") and asked.body is None):
        assert SEEN in ids
        assert OWN in patients
    assert OWN in patients or not asked.path.startswith(f"/Patient/{OWN}")


@pytest.mark.parametrize("number", range(len(TABLE)), ids=lambda number: named(TABLE[number]))
def test_security_AD2_what_is_denied_is_on_record(recorded, number: int):
    each = recorded[f"on-record-{number}-denied"]
    assert each["answer"].status_code == 403
    (record,) = each["records"]
    assert (record["outcome"], record["status"], record["actor_id"]) == ("denied", 403, "tester")
    assert record["action"] == expected_action(each["asked"])
    addressed = route(each["asked"].method, path_of(each["asked"])).id
    assert [name.partition("-")[0] for name in listed(record["resource_ids"])] == ([addressed] if addressed else [])


def path_of(asked: Asked) -> str:
    return asked.path.partition("?")[0].removeprefix("/").format(SEEN, new="new").replace("new-seen", "new")


def expected_action(asked: Asked) -> str:
    if asked.method == "DELETE":
        return "delete"
    reads = asked.method in {"GET", "HEAD"} or asked.form or "$validate" in asked.path
    return "read" if reads else "write"


def ids_in(body: dict[str, Any]) -> set[str]:
    """Return the ids of the resources that an answer shows."""
    if body["resourceType"] == "Bundle":
        entries = [each.get("resource", {}) for each in body.get("entry", ())]
        return {each["id"] for each in entries if each.get("resourceType") != "OperationOutcome" and "id" in each}
    return {body["id"]} if "id" in body else set()


@pytest.mark.parametrize(
    "path",
    [f"/Patient/{OWN}/Observation?_id=nothing", f"/Patient/{OWN}/$everything?_type=Flag", f"/Patient/{OWN}/*?_id=no"],
)
def test_security_AD1_whoever_was_asked_about_is_on_record_also_when_nothing_was_found(world, site: Site, path: str):
    name = f"nothing-{len(path)}"
    answer = world.get(path, headers={"X-Request-Id": name})
    assert (answer.status_code, ids_in(answer.json())) == (200, set())
    (record,) = records(site, name)
    assert (record["customer_id"], record["count"]) == (OWN, 0)


def test_security_AD1_a_history_without_versions_says_of_what(world, site: Site):
    world.get(f"/Observation/{SEEN}/_history?_since=2100", headers={"X-Request-Id": "no-versions"}).raise_for_status()
    (record,) = records(site, "no-versions")
    assert (listed(record["resource_ids"]), record["count"]) == ([SEEN], 0)

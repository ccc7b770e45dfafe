"""Two organizations whose ids and identifiers are the same never see each other (security TN-1, TN-2, AZ-1, AZ-2).

Random interactions of both run against one server. Each answer has to be what a model of the own organization says, as
if there were no other, and holds no word of the other's.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.fhir.routing import Interaction
from storage.provenance import provenance_id
from storage.resources import ResourceKey
from tests.conftest import ORGANIZATION, OTHER_ORGANIZATION
from tests.site import observation, patient

SYSTEM = "http://example.org/fuzz"
WORDS = ("Quartz", "Basalt")
"""What every resource of the first and of the second organization holds."""
SLOTS = (0, 1)

worlds = itertools.count(1)


@dataclass
class Kept:
    """One resource of the model: its versions, None for a deletion."""

    versions: list[dict[str, Any] | None] = field(default_factory=list)

    @property
    def now(self) -> dict[str, Any] | None:
        return self.versions[-1] if self.versions else None


class Tenant:
    """A client of one organization, with a model of what there is in it in this run."""

    def __init__(self, fhir: httpx.Client, number: int, which: int) -> None:
        self.fhir = fhir
        self.run = f"{number:05}"
        self.word, self.other_word = WORDS[which], WORDS[1 - which]
        self.kept: dict[str, Kept] = {}
        self.turns = itertools.count()

    # --- asking -------------------------------------------------------------------------------------------------------

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """Send a request; whatever is answered has no word of the other organization."""
        answer = self.fhir.request(method, path, json=body, headers=headers)
        assert self.other_word not in answer.text + str(answer.headers)
        assert answer.status_code < 500, answer.text
        return answer

    def key(self, resource_type: str, slot: int) -> str:
        return f"{resource_type}/{self.run}-{slot}"

    def identifier(self, slot: int) -> dict[str, str]:
        return {"system": SYSTEM, "value": f"{self.run}-{slot}"}

    def asked(self, slot: int) -> str:
        return f"identifier={SYSTEM}|{self.run}-{slot}"

    # --- the model ----------------------------------------------------------------------------------------------------

    def alive(self, resource_type: str) -> Iterator[tuple[str, dict[str, Any]]]:
        for key, kept in self.kept.items():
            if key.startswith(f"{resource_type}/") and kept.now is not None:
                yield key, kept.now

    def named(self, slot: int) -> set[str]:
        """Return the patients with the identifier of a slot."""
        return {key for key, each in self.alive("Patient") if self.identifier(slot) in each["identifier"]}

    def about(self, *patients: str) -> set[str]:
        """Return the observations about some patients."""
        return {key for key, each in self.alive("Observation") if each["subject"]["reference"] in patients}

    def subjects(self) -> set[str]:
        """Return the patients that observations are about."""
        wanted = {each["subject"]["reference"] for _, each in self.alive("Observation")}
        return {key for key, _ in self.alive("Patient") if key in wanted}

    def patient(self, slot: int) -> dict[str, Any]:
        return patient(f"{self.run} {self.word} {next(self.turns)}", identifier=[self.identifier(slot)])

    def observation(self, subject: str) -> dict[str, Any]:
        code = {"coding": [{"system": SYSTEM, "code": self.run}]}
        return observation(subject, code=code, valueString=f"{self.word} {next(self.turns)}")

    def store(self, key: str, resource: dict[str, Any]) -> int:
        """Note a write, and return the status it has to be answered with."""
        kept = self.kept.setdefault(key, Kept())
        status = 201 if kept.now is None else 200
        kept.versions.append(resource)
        return status


# --- interactions -----------------------------------------------------------------------------------------------------


def put_patient(tenant: Tenant, slot: int, _other: int) -> None:
    key = tenant.key("Patient", slot)
    resource = {**tenant.patient(slot), "id": key.partition("/")[2]}
    answer = tenant.ask("PUT", f"/{key}", resource)
    assert answer.status_code == tenant.store(key, resource)
    assert answer.headers["etag"] == f'W/"{len(tenant.kept[key].versions)}"'


def put_observation(tenant: Tenant, slot: int, other: int) -> None:
    key = tenant.key("Observation", slot)
    resource = {**tenant.observation(tenant.key("Patient", other)), "id": key.partition("/")[2]}
    answer = tenant.ask("PUT", f"/{key}", resource)
    assert answer.status_code == tenant.store(key, resource)
    assert answer.headers["etag"] == f'W/"{len(tenant.kept[key].versions)}"'


def put_if_first(tenant: Tenant, slot: int, _other: int) -> None:
    """Only the version of the own organization counts."""
    key = tenant.key("Patient", slot)
    resource = {**tenant.patient(slot), "id": key.partition("/")[2]}
    kept = tenant.kept.get(key, Kept())
    answer = tenant.ask("PUT", f"/{key}", resource, **{"If-Match": 'W/"1"'})
    if kept.now is not None and len(kept.versions) == 1:
        assert answer.status_code == tenant.store(key, resource)
    else:
        assert answer.status_code == 412


def rename(tenant: Tenant, key: str, slot: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return a JSON Patch of a Patient with what it has to make of it."""
    name = tenant.patient(slot)["name"][0]
    resource = {**(tenant.kept[key].now or {}), "name": [name]} if key in tenant.kept else {}
    return [{"op": "replace", "path": "/name/0/family", "value": name["family"]}], resource


PATCH = {"Content-Type": "application/json-patch+json"}


def patch_patient(tenant: Tenant, slot: int, _other: int) -> None:
    key = tenant.key("Patient", slot)
    document, resource = rename(tenant, key, slot)
    answer = tenant.ask("PATCH", f"/{key}", document, **PATCH)
    kept = tenant.kept.get(key, Kept())
    if kept.now is None:
        assert answer.status_code == (410 if kept.versions else 404)
        return
    assert answer.status_code == tenant.store(key, resource)
    assert answer.headers["etag"] == f'W/"{len(kept.versions)}"'


def patch_by_condition(tenant: Tenant, slot: int, _other: int) -> None:
    there = tenant.named(slot)
    key = next(iter(there), "")
    document, resource = rename(tenant, key, slot)
    answer = tenant.ask("PATCH", f"/Patient?{tenant.asked(slot)}", document, **PATCH)
    if len(there) != 1:
        assert answer.status_code == (412 if there else 404)
        return
    assert answer.status_code == tenant.store(key, resource)
    assert f"Patient/{answer.json()['id']}" == key


def put_by_condition(tenant: Tenant, slot: int, _other: int) -> None:
    there = tenant.named(slot)
    resource = tenant.patient(slot)
    answer = tenant.ask("PUT", f"/Patient?{tenant.asked(slot)}", resource)
    if len(there) > 1:
        assert answer.status_code == 412
        return
    key = f"Patient/{answer.json()['id']}"
    assert not there or key in there
    assert answer.status_code == tenant.store(key, resource)


def delete_by_condition(tenant: Tenant, slot: int, _other: int) -> None:
    there = tenant.named(slot)
    answer = tenant.ask("DELETE", f"/Patient?{tenant.asked(slot)}")
    if len(there) > 1:
        assert answer.status_code == 412
        return
    held = bool(tenant.about(*there))
    assert answer.status_code == (409 if held else 204)
    if not held:
        for key in there:
            note_deletion(tenant, key)


def create_unless_there(tenant: Tenant, slot: int, _other: int) -> None:
    there = tenant.named(slot)
    resource = tenant.patient(slot)
    answer = tenant.ask("POST", "/Patient", resource, **{"If-None-Exist": tenant.asked(slot)})
    if len(there) > 1:
        assert answer.status_code == 412
        return
    key = f"Patient/{answer.json()['id']}"
    assert (answer.status_code, key in there) == ((200, True) if there else (201, False))
    if not there:
        tenant.store(key, resource)


def delete_observation(tenant: Tenant, slot: int, _other: int) -> None:
    key = tenant.key("Observation", slot)
    assert tenant.ask("DELETE", f"/{key}").status_code == 204
    note_deletion(tenant, key)


def delete_patient(tenant: Tenant, slot: int, _other: int) -> None:
    """Only references of the own organization hold a patient."""
    key = tenant.key("Patient", slot)
    exists = key in tenant.kept and tenant.kept[key].now is not None
    held = exists and bool(tenant.about(key))
    assert tenant.ask("DELETE", f"/{key}").status_code == (409 if held else 204)
    if not held:
        note_deletion(tenant, key)


def note_deletion(tenant: Tenant, key: str) -> None:
    if key in tenant.kept and tenant.kept[key].now is not None:
        tenant.kept[key].versions.append(None)


def read(tenant: Tenant, slot: int, other: int) -> None:
    key = tenant.key(("Patient", "Observation")[other], slot)
    answer = tenant.ask("GET", f"/{key}")
    kept = tenant.kept.get(key)
    if kept is None:
        assert answer.status_code == 404
    elif kept.now is None:
        assert answer.status_code == 410
    else:
        assert told(answer.json()) == told(kept.now)


def told(resource: dict[str, Any]) -> Any:
    """Return the text by which one version is told from all others."""
    return resource["name"][0]["family"] if resource["resourceType"] == "Patient" else resource["valueString"]


def vread(tenant: Tenant, slot: int, other: int) -> None:
    key = tenant.key(("Patient", "Observation")[other], slot)
    versions = tenant.kept.get(key, Kept()).versions
    for number, version in enumerate([*versions, "none"], start=1):
        answer = tenant.ask("GET", f"/{key}/_history/{number}")
        if version == "none":
            assert answer.status_code == 404
        elif version is None:
            assert answer.status_code == 410
        else:
            assert told(answer.json()) == told(version)  # type: ignore[arg-type]


def history(tenant: Tenant, slot: int, other: int) -> None:
    key = tenant.key(("Patient", "Observation")[other], slot)
    answer = tenant.ask("GET", f"/{key}/_history")
    versions = tenant.kept.get(key, Kept()).versions
    assert answer.status_code == (200 if versions else 404)
    if versions:
        assert answer.json()["total"] == len(versions)


def history_of_type(tenant: Tenant, slot: int, other: int) -> None:
    """As many versions as the model has; PostgreSQL shows them when older transactions have ended."""
    resource_type = ("Patient", "Observation")[other]
    answer = tenant.ask("GET", f"/{resource_type}/_history?_count=1000")
    key = tenant.key(resource_type, slot)
    shown = [each for each in answer.json().get("entry", ()) if each["fullUrl"].endswith(key)]
    assert len(shown) <= len(tenant.kept.get(key, Kept()).versions)


def history_of_all(tenant: Tenant, slot: int, _other: int) -> None:
    answer = tenant.ask("GET", "/_history?_count=1000")
    key = tenant.key("Patient", slot)
    shown = [each for each in answer.json().get("entry", ()) if each["fullUrl"].endswith(key)]
    assert len(shown) <= len(tenant.kept.get(key, Kept()).versions)


def found(tenant: Tenant, query: str) -> set[str]:
    """Return what a search finds and includes."""
    answer = tenant.ask("GET", f"/{query}")
    assert answer.status_code == 200, answer.text
    return keys_in(answer)


def keys_in(answer: httpx.Response) -> set[str]:
    return {f"{each['resource']['resourceType']}/{each['resource']['id']}" for each in answer.json().get("entry", ())}


def search(tenant: Tenant, slot: int, _other: int) -> None:
    key = tenant.key("Patient", slot)
    named = tenant.named(slot)
    assert found(tenant, f"Patient?{tenant.asked(slot)}") == named
    assert found(tenant, f"Patient?_id={tenant.run}-{slot}") == {key} & {each for each, _ in tenant.alive("Patient")}
    assert found(tenant, f"Patient?family={tenant.run}") == {each for each, _ in tenant.alive("Patient")}
    others = tenant.fhir.get(f"/Patient?family={tenant.run}%20{tenant.other_word}&_total=accurate").json()
    assert (others["total"], others.get("entry")) == (0, None)
    assert found(tenant, f"Observation?patient={key}") == tenant.about(key)
    total = tenant.ask("GET", f"/Observation?code={SYSTEM}|{tenant.run}&_summary=count").json()["total"]
    assert total == len(list(tenant.alive("Observation")))


def search_by_form(tenant: Tenant, slot: int, _other: int) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = tenant.fhir.post("/Patient/_search", content=tenant.asked(slot), headers=headers)
    assert tenant.other_word not in answer.text
    assert keys_in(answer) == tenant.named(slot)


def search_by_chain(tenant: Tenant, slot: int, _other: int) -> None:
    assert found(tenant, f"Observation?subject:Patient.{tenant.asked(slot)}") == tenant.about(*tenant.named(slot))
    assert found(tenant, f"Observation?patient.family={tenant.run}") == tenant.about(*tenant.subjects())
    has = f"_has:Observation:patient:code={SYSTEM}|{tenant.run}"
    assert found(tenant, f"Patient?{has}") == tenant.subjects()
    assert found(tenant, f"Patient?{has}&{tenant.asked(slot)}") == tenant.subjects() & tenant.named(slot)


def search_several_types(tenant: Tenant, slot: int, _other: int) -> None:
    assert found(tenant, f"?_type=Patient,Observation&_id={tenant.run}-{slot}") == {
        key
        for key in (tenant.key("Patient", slot), tenant.key("Observation", slot))
        if tenant.kept.get(key, Kept()).now
    }


def search_compartment(tenant: Tenant, slot: int, _other: int) -> None:
    key = tenant.key("Patient", slot)
    if tenant.kept.get(key, Kept()).now is None:
        assert tenant.ask("GET", f"/{key}/Observation").status_code in {200, 404, 410}
    else:
        assert found(tenant, f"{key}/Observation") == tenant.about(key)


def search_with_includes(tenant: Tenant, slot: int, _other: int) -> None:
    observations = {each for each, _ in tenant.alive("Observation")}
    query = f"Observation?code={SYSTEM}|{tenant.run}&_include=Observation:patient"
    assert found(tenant, query) == observations | tenant.subjects()
    named = tenant.named(slot)
    query = f"Patient?{tenant.asked(slot)}&_revinclude=Observation:patient"
    assert found(tenant, query) == named | tenant.about(*named)


def refer_by_condition(tenant: Tenant, slot: int, other: int) -> None:
    """In a transaction: the reference finds exactly one of the own organization, or all fails."""
    key = tenant.key("Observation", slot)
    resource = {**tenant.observation(f"Patient?{tenant.asked(other)}"), "id": key.partition("/")[2]}
    entries = [
        {"request": {"method": "PUT", "url": key}, "resource": resource},
        {"request": {"method": "GET", "url": f"Patient?family={tenant.run}"}},
    ]
    answer = tenant.ask("POST", "/", {"resourceType": "Bundle", "type": "transaction", "entry": entries})
    there = tenant.named(other)
    assert answer.status_code == (200 if len(there) == 1 else 412)
    if len(there) == 1:
        (resource["subject"]["reference"],) = there
        status = tenant.store(key, resource)
        assert answer.json()["entry"][0]["response"]["status"] == str(status)
        assert tenant.ask("GET", f"/{key}").json()["subject"]["reference"] in there


def batch(tenant: Tenant, slot: int, other: int) -> None:
    keys = [tenant.key("Patient", slot), tenant.key("Observation", other)]
    entries = [{"request": {"method": "GET", "url": key}} for key in keys]
    entries.append({"request": {"method": "GET", "url": f"Patient?{tenant.asked(slot)}"}})
    answer = tenant.ask("POST", "/", {"resourceType": "Bundle", "type": "batch", "entry": entries}).json()["entry"]
    for key, each in zip(keys, answer, strict=False):
        kept = tenant.kept.get(key)
        assert each["response"]["status"] == ("404" if kept is None else "410" if kept.now is None else "200")
    assert answer[-1]["resource"]["total"] == len(tenant.named(slot))


def everything(tenant: Tenant, slot: int, _other: int) -> None:
    key = tenant.key("Patient", slot)
    kept = tenant.kept.get(key, Kept())
    answer = tenant.ask("GET", f"/{key}/$everything")
    if kept.now is None:
        assert answer.status_code == (410 if kept.versions else 404)
    else:
        assert keys_in(answer) == {key} | tenant.about(key)


def provenance(tenant: Tenant, slot: int, other: int) -> None:
    """Both organizations have versions of the same names, so their Provenance has the same ids."""
    key = tenant.key(("Patient", "Observation")[other], slot)
    kept = tenant.kept.get(key, Kept())
    answer = tenant.ask("GET", f"/Provenance?target={key}")
    assert answer.json()["total"] == len(kept.versions)
    numbers = range(len(kept.versions) + 1, 0, -1)
    names = [f"Provenance/{provenance_id(ResourceKey(*key.split('/')), number)}" for number in numbers]
    assert [tenant.ask("GET", f"/{name}").status_code for name in names] == [404, *[200] * len(kept.versions)]
    assert keys_in(answer) == set(names[1:])


def lineage(tenant: Tenant, slot: int, other: int) -> None:
    key = tenant.key(("Patient", "Observation")[other], slot)
    kept = tenant.kept.get(key, Kept())
    answer = tenant.ask("GET", f"/{key}/$lineage")
    assert answer.status_code == (200 if kept.now is not None else 410 if kept.versions else 404)


def latest(tenant: Tenant, slot: int, _other: int) -> None:
    key = tenant.key("Patient", slot)
    about = tenant.about(key)
    newest = found(tenant, f"Observation/$lastn?patient={key}&code={SYSTEM}|{tenant.run}&max=1000")
    assert newest == about


def label(tenant: Tenant, slot: int, other: int) -> None:
    """Labels of the own organization are added, listed and taken away; those of the other one are not there."""
    key = tenant.key(("Patient", "Observation")[other], slot)
    kept = tenant.kept.get(key, Kept())
    value = {"tag": [{"system": SYSTEM, "code": f"{tenant.word}-{tenant.run}"}]}
    body = {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": value}]}
    for operation in ("$meta-add", "$meta", "$meta-delete"):
        answer = tenant.ask("POST", f"/{key}/{operation}", body if operation != "$meta" else None)
        assert answer.status_code == (200 if kept.now is not None else 410 if kept.versions else 404)
        if kept.now is not None:
            assert (tenant.word in answer.text) is (operation != "$meta-delete")
    assert tenant.ask("GET", f"/{key.partition('/')[0]}/$meta").status_code in {200, 400}


def check(tenant: Tenant, slot: int, _other: int) -> None:
    """Whatever is tried is undone, and answered as the own organization has it."""
    key = tenant.key("Patient", slot)
    kept = tenant.kept.get(key, Kept())
    exists = kept.now is not None
    resource = {**tenant.patient(slot), "id": key.partition("/")[2]}
    answers = [tenant.ask("POST", f"/{key}/$validate?mode={mode}", resource) for mode in ("create", "update")]
    answers.append(tenant.ask("POST", f"/{key}/$validate?mode=delete", resource))
    wrong = [any(each["severity"] == "error" for each in answer.json()["issue"]) for answer in answers]
    assert wrong == [False, False, exists and bool(tenant.about(key))]


def past_record(tenant: Tenant, slot: int, _other: int) -> None:
    key = tenant.key("Patient", slot)
    now = tenant.kept.get(key, Kept()).now
    answer = tenant.ask("GET", f"/{key}/$everything?_at=2100-01-01")
    if now is not None:
        assert keys_in(answer) == {key} | tenant.about(key)
    assert tenant.ask("GET", f"/{key}/$everything?_at=2000-01-01").status_code in {404, 410}


def search_owners(tenant: Tenant, slot: int, other: int) -> None:
    """Compartments of what only one organization has, totals and orders by what bodies say."""
    patients = {key for key, _ in tenant.alive("Patient")}
    observations = {key for key, _ in tenant.alive("Observation")}
    mine = f"code={SYSTEM}|{tenant.run}"
    assert found(tenant, f"Observation?{mine}&_sort=-code,subject") == observations
    ids = ",".join(f"{tenant.run}-{each}" for each in SLOTS)
    several = f"?_type=Patient,Observation&_id={ids}&_total=accurate&_count=1&_sort=-_lastUpdated"
    named = {key for key in patients | observations if key.partition("/")[2] in ids.split(",")}
    assert tenant.ask("GET", f"/{several}").json()["total"] == len(named)
    key = tenant.key("Patient", slot)
    if key in patients:
        assert found(tenant, f"{key}/*?_type=Observation&{mine}&_sort=code") == tenant.about(key)


def metadata(tenant: Tenant, _slot: int, _other: int) -> None:
    assert tenant.ask("GET", "/metadata").status_code == 200


ACTS = {
    put_patient: Interaction.UPDATE,
    put_observation: Interaction.UPDATE,
    put_if_first: Interaction.UPDATE,
    put_by_condition: Interaction.UPDATE,
    patch_patient: Interaction.PATCH,
    patch_by_condition: Interaction.PATCH,
    create_unless_there: Interaction.CREATE,
    delete_observation: Interaction.DELETE,
    delete_patient: Interaction.DELETE,
    delete_by_condition: Interaction.DELETE,
    read: Interaction.READ,
    vread: Interaction.VREAD,
    history: Interaction.HISTORY_INSTANCE,
    history_of_type: Interaction.HISTORY_TYPE,
    history_of_all: Interaction.HISTORY_SYSTEM,
    search: Interaction.SEARCH_TYPE,
    search_by_form: Interaction.SEARCH_TYPE,
    search_by_chain: Interaction.SEARCH_TYPE,
    search_with_includes: Interaction.SEARCH_TYPE,
    search_several_types: Interaction.SEARCH_SYSTEM,
    search_compartment: Interaction.SEARCH_COMPARTMENT,
    refer_by_condition: Interaction.BUNDLE,
    batch: Interaction.BUNDLE,
    everything: Interaction.OPERATION,
    provenance: Interaction.SEARCH_TYPE,
    lineage: Interaction.OPERATION,
    latest: Interaction.OPERATION,
    label: Interaction.OPERATION,
    check: Interaction.OPERATION,
    past_record: Interaction.OPERATION,
    search_owners: Interaction.SEARCH_COMPARTMENT,
    metadata: Interaction.CAPABILITIES,
}


def test_every_interaction_is_tried():
    assert set(ACTS.values()) == set(Interaction)


@pytest.fixture(scope="module")
def clients(site) -> tuple[httpx.Client, httpx.Client]:
    """A client of each organization."""
    return site.client(organization=ORGANIZATION), site.client(organization=OTHER_ORGANIZATION)


step = st.tuples(st.sampled_from([0, 1]), st.sampled_from(list(ACTS)), st.sampled_from(SLOTS), st.sampled_from(SLOTS))


@settings(max_examples=25, deadline=None)
@given(st.lists(step, min_size=10, max_size=30))
def test_each_organization_finds_its_own_as_if_there_were_no_other(clients, steps):
    number = next(worlds)
    tenants = [Tenant(fhir, number, which) for which, fhir in enumerate(clients)]
    for which, act, slot, other in steps:
        act(tenants[which], slot, other)
    for tenant in tenants:
        for slot in SLOTS:
            for look in (search, search_by_chain, search_with_includes):
                look(tenant, slot, 0)
            for other in SLOTS:
                history(tenant, slot, other)


def test_AZ_10_a_page_link_of_one_organization_is_nothing_to_the_other(clients):
    tenants = [Tenant(fhir, next(worlds), which) for which, fhir in enumerate(clients)]
    for tenant in tenants:
        for slot in SLOTS:
            put_patient(tenant, slot, 0)
    for tenant, stranger in (tenants, tenants[::-1]):
        first = tenant.ask("GET", "/Patient?_count=1").json()
        link = next(each["url"] for each in first["link"] if each["relation"] == "next")
        assert tenant.ask("GET", link).status_code == 200
        assert stranger.ask("GET", link).status_code == 400


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Tenant-Id": OTHER_ORGANIZATION},
        {"X-Organization": OTHER_ORGANIZATION},
        {"X-Organization-Id": OTHER_ORGANIZATION},
        {"X-Forwarded-Host": OTHER_ORGANIZATION},
    ],
)
def test_TN_1_nothing_in_a_request_but_its_token_says_the_organization(clients, headers):
    number = next(worlds)
    own, other = (Tenant(fhir, number, which) for which, fhir in enumerate(clients))
    put_patient(other, 0, 0)
    key = other.key("Patient", 0)
    assert own.ask("GET", f"/{key}", **headers).status_code == 404
    assert own.ask("GET", f"/{key}?organization_id={OTHER_ORGANIZATION}").status_code == 404
    tagged = {**own.patient(1), "meta": {"tag": [{"system": "organization_id", "code": OTHER_ORGANIZATION}]}}
    created = own.ask("POST", "/Patient", tagged, **headers).json()["id"]
    assert other.ask("GET", f"/Patient/{created}").status_code == 404

"""Every role × endpoint × own, foreign and absent, sent (security TN-6, issue 7 'To show'; API document 'RBAC').

The matrix is written down here from the documents; nothing of it is read from the server.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache

import httpx
import pytest
from fastapi.routing import APIRoute

from capability.roles import GraphAction, roles
from fhir_server.access import Caller, graph_extent
from fhir_server.graph.application import ROUTERS
from storage.access import Extent
from tests.graph.kit import ABSENT, JANE, JOHN, GraphSite, Person
from tests.graph.requests import SAMPLES, Sample

R, W, D, E = "read", "write", "delete", "export"
RESOURCES = (
    "profile", "lab_results", "protocols", "events", "audit_log", "conversation_history", "treatment",
)  # fmt: skip
CLINICAL = tuple(each for each in RESOURCES if each != "audit_log")


def _each(names: tuple[str, ...], *actions: str) -> dict[str, set[str]]:
    return {name: set(actions) for name in names}


ADMIN = _each(CLINICAL, R, W, D, E) | {"audit_log": {R, E}}  # 'all actions'; but nobody writes the trail (AD-4)
STAFF = _each(CLINICAL, R, W, D)  # 'all resources except audit_log, all actions except export'
PROVIDER = _each(CLINICAL, R) | _each(("protocols", "events", "treatment"), R, W)
SUPPORT = _each(("profile", "lab_results", "protocols", "events"), R)
CUSTOMER = _each(CLINICAL, R) | _each(("profile", "protocols", "events", "treatment"), R, W)
MATRIX: Mapping[str, Mapping[str, set[str]]] = {
    "ORG_ADMIN": ADMIN,
    "STAFF": STAFF,
    "BILLING": STAFF,
    "SERVICE": STAFF,
    "CLINICIAN": PROVIDER,
    "NURSE": PROVIDER,
    "SUPPORT": SUPPORT,
    "AUDITOR": {"audit_log": {R}},
    "PATIENT": CUSTOMER,
    "APP": {},
    "EMERGENCY": {},
}
NOT_BEHIND_A_TOKEN = {"POST /webhooks/rimo"}
"""Endpoints whose requests are signed."""


def endpoints() -> Iterator[str]:
    """Every endpoint that is served: `METHOD /path`."""
    for router in ROUTERS:
        for route in router.routes:
            assert isinstance(route, APIRoute)
            for method in sorted(route.methods):
                yield f"{method} {route.path_format}"


ENDPOINTS = tuple(endpoints())
GUARDED = tuple(each for each in ENDPOINTS if each in SAMPLES and each not in NOT_BEHIND_A_TOKEN)
NOBODY = Person(ABSENT, "user_nobody", "nobody@example.com")


def test_TN_6_every_endpoint_has_a_sample_request_and_so_a_cell():
    missing = [each for each in ENDPOINTS if each not in SAMPLES and each not in NOT_BEHIND_A_TOKEN]
    assert not missing, f"add a Sample to tests/graph/requests.py for {missing}"


def test_TN_6_no_sample_is_of_an_endpoint_that_is_gone():
    assert set(SAMPLES) <= set(ENDPOINTS)


def test_TN_6_every_role_is_in_the_matrix():
    assert set(MATRIX) == set(roles())


@pytest.mark.parametrize("role", MATRIX)
def test_TN_6_every_cell_is_decided_as_the_document_says(role: str):
    level = "system" if role == "SERVICE" else "user" if roles()[role].assignable else "patient"
    caller = Caller("somebody", "tests", "loop-health", role, f"{level}/*.cruds", "token", 0, 2**40)
    for resource in RESOURCES:
        for action in GraphAction:
            extent = graph_extent(caller, resource, action)
            allowed = action.value in MATRIX[role].get(resource, set())
            whole = None if not allowed else Extent.COMPARTMENT if role == "PATIENT" else Extent.ORGANIZATION
            assert extent == whole, f"{role} {action} {resource}"


@pytest.fixture(scope="module")
def bearer(graph_site: GraphSite):
    """Clients, each made once."""

    @cache
    def made(role: str, **claims: object) -> httpx.Client:
        if role in {"APP", "EMERGENCY"}:
            claims = {"patient": JANE, **claims}
        if role == "EMERGENCY":
            claims["break_glass_id"] = "emergency-1"
        return graph_site.client(role, **claims)

    return made


def told(sample: Sample, endpoint: str, client: httpx.Client) -> dict[str, httpx.Response]:
    """Send a request about one's own customer, another's and nobody's."""
    people = {"own": JANE, "foreign": JOHN, "absent": NOBODY}
    return {whose: sample.ask(endpoint, client, person) for whose, person in people.items()}


def names_nobody(sample: Sample) -> bool:
    """Whether a request says nothing of whom it is about."""
    return sample.path_row is None and "{customer}" not in str(sample.params) + str(sample.json)


def require_outcomes(site: GraphSite, answers: Mapping[str, httpx.Response], expected: Mapping[str, int]) -> None:
    """Fail unless each answer has its status, and each denial is on record as one."""
    got = {whose: answer.status_code for whose, answer in answers.items()}
    assert got == expected, {whose: answer.text for whose, answer in answers.items()}
    records = site.audit(*(answer.headers["x-request-id"] for answer in answers.values()))
    for whose, answer in answers.items():
        denied = answer.status_code in {401, 403}
        record = records[answer.headers["x-request-id"]]
        assert record["outcome"] == ("denied" if denied else "allowed"), whose
        assert record["status"] == answer.status_code
        if denied:
            assert answer.json()["error"]["code"] == ("FORBIDDEN" if answer.status_code == 403 else "UNAUTHORIZED")


@pytest.mark.parametrize("role", [each for each in MATRIX if each != "PATIENT"])
@pytest.mark.parametrize("endpoint", GUARDED)
def test_TN_6_a_role_may_do_what_the_matrix_says(endpoint: str, role: str, graph_site: GraphSite, bearer):
    sample = SAMPLES[endpoint]
    allowed = sample.action in MATRIX[role].get(sample.resource, set())
    yes = {"own": sample.status, "foreign": sample.status, "absent": sample.absent}
    expected = yes if allowed else dict.fromkeys(yes, 403)
    require_outcomes(graph_site, told(sample, endpoint, bearer(role)), expected)


@pytest.mark.parametrize("endpoint", GUARDED)
def test_TN_6_customers_may_do_with_their_own_rows_what_the_matrix_says(endpoint: str, graph_site: GraphSite, bearer):
    sample = SAMPLES[endpoint]
    allowed = sample.action in CUSTOMER.get(sample.resource, set())
    own = sample.of_bound("PATIENT") if allowed else 403
    other = own if names_nobody(sample) else 403
    answers = told(sample, endpoint, bearer("PATIENT", customer=JANE))
    require_outcomes(graph_site, answers, {"own": own, "foreign": other, "absent": other})


@pytest.mark.parametrize("role", ["CLINICIAN", "STAFF"])
@pytest.mark.parametrize("endpoint", GUARDED)
def test_a_token_for_one_patient_binds_whoever_has_it_to_that_customer(
    endpoint: str, role: str, graph_site: GraphSite, bearer
):
    sample = SAMPLES[endpoint]
    allowed = sample.action in MATRIX[role].get(sample.resource, set())
    own = sample.of_bound(role) if allowed else 403
    other = own if names_nobody(sample) else 403
    answers = told(sample, endpoint, bearer(role, patient=JANE, scope="patient/*.cruds"))
    require_outcomes(graph_site, answers, {"own": own, "foreign": other, "absent": other})


FHIR_TYPES: Mapping[str, tuple[str, ...]] = {
    "profile": ("Patient",),
    "lab_results": ("Observation", "DiagnosticReport"),
    "protocols": ("CarePlan", "MedicationRequest"),
    "events": ("CarePlan",),
    "treatment": ("CarePlan", "MedicationRequest"),
    "conversation_history": ("Communication",),
    "audit_log": ("AuditEvent",),
}
LETTERS = {R: "rs", W: "cu", D: "d", E: "rs"}


@pytest.mark.parametrize("endpoint", GUARDED)
def test_scopes_of_the_types_that_show_a_resource_are_enough_and_needed(endpoint: str, graph_site: GraphSite, bearer):
    sample = SAMPLES[endpoint]
    types, letters = FHIR_TYPES[sample.resource], LETTERS[sample.action]
    enough = " ".join(f"user/{each}.{letters}" for each in types)
    others = "".join(each for each in "cruds" if each not in letters)
    refused = {
        "another letter": " ".join(f"user/{each}.{others}" for each in types),
        "one letter only": " ".join(f"user/{each}.{letters[:-1]}" for each in types) if len(letters) > 1 else "openid",
        "a type is missing": " ".join(f"user/{each}.{letters}" for each in types[1:]) or "openid",
        "another type": f"user/Appointment.{letters}",
        "a part of the type": " ".join(f"user/{each}.{letters}?status=final" for each in types),
        "system without being one": f"system/*.{letters}",
        "no scope for data": "openid fhirUser",
    }
    role = "ORG_ADMIN"
    assert sample.ask(endpoint, bearer(role, scope=enough), JANE).status_code == sample.status
    answers = {why: sample.ask(endpoint, bearer(role, scope=scope), JANE) for why, scope in refused.items()}
    require_outcomes(graph_site, answers, dict.fromkeys(refused, 403))


@pytest.mark.parametrize("endpoint", GUARDED)
def test_partners_clients_have_no_part_in_it(endpoint: str, graph_site: GraphSite, bearer):
    sample = SAMPLES[endpoint]
    clients = {
        role: bearer(role, is_partner=True, **claims)
        for role, claims in {"ORG_ADMIN": {}, "SERVICE": {}, "PATIENT": {"customer": JANE}}.items()
    }
    answers = {role: sample.ask(endpoint, client, JANE) for role, client in clients.items()}
    require_outcomes(graph_site, answers, dict.fromkeys(answers, 403))


@pytest.mark.parametrize("endpoint", GUARDED)
def test_who_brings_no_valid_token_is_told_so(endpoint: str, graph_site: GraphSite, bearer):
    sample = SAMPLES[endpoint]
    tokens = {
        "none": None,
        "nonsense": "nonsense",
        "expired": graph_site.token("ORG_ADMIN", lifetime=60, age=3600),
        "altered": f"{graph_site.token('ORG_ADMIN')[:-8]}AAAAAAAA",
    }
    answers = {why: sample.ask(endpoint, graph_site.bearing(token), JANE) for why, token in tokens.items()}
    require_outcomes(graph_site, answers, dict.fromkeys(answers, 401))
    assert all("www-authenticate" in answer.headers for answer in answers.values())


@pytest.mark.parametrize("endpoint", GUARDED)
def test_another_organization_has_other_rows(endpoint: str, graph_site: GraphSite, bearer):
    sample = SAMPLES[endpoint]
    client = bearer("ORG_ADMIN", organization="health-hub")
    answer = sample.ask(endpoint, client, JANE)
    assert answer.status_code == sample.absent, answer.text
    if sample.resource != "audit_log" and sample.action == "read" and answer.status_code == 200:
        assert answer.json()["data"] == []


@pytest.mark.parametrize("endpoint", NOT_BEHIND_A_TOKEN)
def test_no_token_takes_the_place_of_a_signature(endpoint: str, graph_site: GraphSite, bearer):
    method, _, path = endpoint.partition(" ")
    event = {"type": "order.created", "timestamp": "2026-03-20T10:00:00Z", "data": {"orderId": "order_1"}}
    clients = {"nobody": graph_site.bearing(None), **{role: bearer(role) for role in MATRIX}}
    answers = {role: client.request(method, path, json=event) for role, client in clients.items()}
    require_outcomes(graph_site, answers, dict.fromkeys(answers, 401))

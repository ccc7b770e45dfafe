"""Who is bound to one customer learns nothing of others: what is another's and what is nowhere are the same bytes.

(settled §4.3, internal_tables.md 'ownership'). A request that names something of another customer is sent beside the
same request that names nothing that exists; answers are compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.graph.kit import JANE, JOHN, GraphSite, Person
from tests.graph.requests import SAMPLES
from tests.graph.test_matrix import GUARDED, names_nobody

OWN = JANE.customer
REFERRING: Mapping[str, tuple[str, Mapping[str, Any], str]] = {
    "a protocol, from an event": (
        "POST /events",
        {"json": {"customerId": OWN, "type": "protocol_check_in", "protocolId": "{protocol}"}},
        "protocol",
    ),
    "a treatment, of prescriptions": (
        "GET /prescriptions",
        {"params": {"customerId": OWN, "treatmentId": "{treatment}"}},
        "treatment",
    ),
    "a treatment at the pharmacy": (
        "GET /treatments",
        {"params": {"customerId": OWN, "rimoTreatmentId": "rimo_{customer}"}},
        "customer",
    ),
    "a treatment at the pharmacy, asked for again": (
        "POST /treatments",
        {"json": {"customerId": OWN, "offeringName": "GLP-1", "rimoTreatmentId": "rimo_{customer}"}},
        "customer",
    ),
    "an e-mail address": (f"PATCH /profiles/{OWN}", {"json": {"email": "{email}"}}, "email"),
    "readings among one's own": (
        "POST /wearables/readings",
        {
            "json": {
                "readings": [
                    {
                        "customerId": each, "dataType": "hrv", "value": 1, "unit": "ms", "source": "oura",
                        "recordedAt": "2026-03-20T14:30:00Z",
                    }
                    for each in (OWN, "{customer}")
                ]
            }
        },
        "customer",
    ),
}  # fmt: skip
"""Requests about one's own customer that name something which may be another's."""


def written(value: Any, person: Person) -> Any:
    """Fill in what a request names."""
    if isinstance(value, Mapping):
        return {name: written(each, person) for name, each in value.items()}
    if isinstance(value, list):
        return [written(each, person) for each in value]
    if not isinstance(value, str):
        return value
    words = {"customer": person.customer, "email": person.email}
    words |= {kind: person.row(kind) for kind in ("protocol", "treatment")}
    return value.format(**words) if "{" in value else value


@pytest.fixture(scope="module")
def bound(graph_site: GraphSite) -> Mapping[str, httpx.Client]:
    """Callers who are bound to JANE: in person, by a patient/ scope, and a customer who has no profile yet."""
    return {
        "in person": graph_site.client("PATIENT", customer=JANE),
        "a clinician in her record": graph_site.client("CLINICIAN", patient=JANE, scope="patient/*.cruds"),
        "staff in her record": graph_site.client("STAFF", patient=JANE, scope="patient/*.cruds"),
        "nobody yet": graph_site.client("PATIENT", subject="user_new"),
    }


def require_same(foreign: httpx.Response, absent: httpx.Response) -> None:
    """Fail when two answers tell apart what they are about."""
    assert foreign.status_code == absent.status_code, (foreign.text, absent.text)
    assert foreign.content == absent.content
    noise = {"date", "x-request-id"}
    heads = [{name: value for name, value in each.headers.items() if name not in noise} for each in (foreign, absent)]
    assert heads[0] == heads[1]


JUNK = st.dictionaries(
    st.sampled_from(["customer_id", "organizationId", "organization_id", "patient", "limit", "offset", "status"]),
    st.sampled_from(["", "1", "-1", JOHN.customer, "pending", "nonsense"]),
    max_size=2,
)


@given(
    endpoint=st.sampled_from([each for each in GUARDED if not names_nobody(SAMPLES[each])]),
    who=st.sampled_from(["in person", "a clinician in her record", "staff in her record", "nobody yet"]),
    end=st.text("abcdefghij0123456789_-", min_size=1, max_size=12),
    junk=JUNK,
)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rows_of_others_and_rows_that_are_nowhere_are_the_same(
    bound: Mapping[str, httpx.Client], endpoint: str, who: str, end: str, junk: dict[str, str]
):
    sample = SAMPLES[endpoint]
    nowhere = Person(f"nobody-{end}", f"user-{end}", f"{end}@example.com")
    more: dict[str, Any] = {}
    if junk and not endpoint.startswith("GET"):
        more = {"content": b'{"customerId": 7, "nonsense": ', "headers": {"Content-Type": "application/json"}}
    foreign, absent = (_with(sample, endpoint, bound[who], person, junk, more) for person in (JOHN, nowhere))
    require_same(foreign, absent)
    if not junk:
        assert foreign.status_code == 403


def _with(
    sample: Any, endpoint: str, client: httpx.Client, person: Person, junk: dict[str, str], more: dict[str, Any]
) -> httpx.Response:
    """Send a sample request, with parameters or a body that do not belong there."""
    if more:
        changed = sample.ask(endpoint, client, person, json=None, **more)
    elif junk:
        params = {**junk, **{name: value.format(customer=person.customer) for name, value in sample.params.items()}}
        changed = sample.ask(endpoint, client, person, params=params)
    else:
        changed = sample.ask(endpoint, client, person)
    return changed  # type: ignore[no-any-return]


@pytest.mark.parametrize("named", REFERRING)
def test_a_request_about_oneself_tells_nothing_of_what_it_names(bound, named: str):
    endpoint, sent, _ = REFERRING[named]
    method, _, path = endpoint.partition(" ")
    nowhere = Person("nobody-0001", "user-0001", "nobody-0001@example.com")
    answers = [bound["in person"].request(method, path, **written(sent, person)) for person in (JOHN, nowhere)]
    assert answers[0].status_code == answers[1].status_code, [answer.text for answer in answers]
    if answers[0].status_code >= 400:
        require_same(*answers)
    elif method == "GET":
        assert answers[0].json()["data"] == answers[1].json()["data"] == []
        assert answers[0].json()["pagination"]["total"] == 0


@pytest.mark.parametrize("endpoint", [each for each in GUARDED if each.startswith("GET") and "{id}" not in each])
def test_lists_count_nothing_of_others(bound, endpoint: str):
    answer = SAMPLES[endpoint].ask(endpoint, bound["in person"], JANE)
    if answer.status_code == 200:
        found = answer.json()
        assert JOHN.email not in answer.text
        assert {row.get("customerId", row["id"]) for row in found["data"]} <= {OWN}
        assert len(found["data"]) == found["pagination"]["total"]


def test_a_customer_without_profile_makes_the_one_of_the_login_and_no_other(graph_site: GraphSite):
    new = graph_site.client("PATIENT", subject="user_fresh")
    assert new.get("/profiles").status_code == 403
    profile = {"externalId": "user_fresh", "email": "fresh@example.com"}
    another = new.post("/profiles", json={**profile, "externalId": JOHN.login})
    nowhere = new.post("/profiles", json={**profile, "externalId": "user_nowhere"})
    require_same(another, nowhere)
    assert another.status_code == 403
    assert new.post("/profiles", json={**profile, "email": JOHN.email}).status_code == 403
    made = new.post("/profiles", json=profile)
    assert made.status_code == 201
    assert new.get(f"/profiles/{made.json()['data']['id']}").status_code == 200
    assert new.post("/profiles", json=profile).status_code == 403


def test_a_bound_caller_does_not_learn_which_numbers_others_have_at_the_pharmacy(bound, graph_site: GraphSite):
    admin, clinician = graph_site.client("ORG_ADMIN"), bound["a clinician in her record"]
    own, johns = JANE.row("treatment"), JOHN.row("treatment")
    for key in (own, johns):
        assert admin.patch(f"/treatments/{key}", json={"status": "approved"}).status_code == 200
    taken = {"rimoTreatmentId": f"rimo_{JOHN.customer}"}
    assert admin.patch(f"/treatments/{own}", json=taken).status_code == 409
    refused = clinician.patch(f"/treatments/{own}", json=taken)
    elsewhere = clinician.patch(f"/treatments/{johns}", json={"notes": "Seen"})
    require_same(refused, elsewhere)
    assert refused.status_code == 403

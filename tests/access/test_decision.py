"""The access decision beside the matrix (security §1, settled §4.3-4.4, smart.md E7, O5)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.access import RESOURCE_TYPES, Caller, _rights, access_for_read, authorise
from fhir_server.errors import NotAuthorised
from fhir_server.oauth.filters import parse_filter
from storage.access import Access, Reach, Right
from storage.errors import InteractionForbidden
from storage.search.compile import compile_plan
from storage.search.lower import Lowering
from storage.search.plan import plan_ids
from storage.store import _read_statement


def access_of(scope: str, role: str = "CLINICIAN", patient: str | None = None, fhir_user: str | None = None) -> Access:
    return authorise(Caller("someone", "an-app", "loop-health", role, scope, "jti-1", 0, 900, patient, fhir_user))


def test_security_AZ3_a_patient_scope_without_a_patient_is_refused_on_every_request():
    with pytest.raises(NotAuthorised):
        access_of("user/*.rs patient/Observation.rs")


def test_security_AZ3_an_unknown_role_is_refused():
    with pytest.raises(NotAuthorised):
        access_of("user/*.rs", role="WIZARD")


def test_security_AZ3_a_type_nobody_defined_reaches_nothing():
    assert access_of("system/*.cruds", role="SERVICE").reach("Dragon", Right.READ) is Reach.NONE


def test_security_AZ3_identity_scopes_reach_nothing():
    assert not access_of("openid fhirUser launch/patient offline_access").rights


def test_smart_C6_several_scopes_give_the_widest_reach_of_each():
    access = access_of("patient/Observation.rs user/Observation.r", patient="p1")
    assert access.reach("Observation", Right.READ) is Reach.ORGANIZATION
    assert access.reach("Observation", Right.SEARCH) is Reach.COMPARTMENT


def test_settled_4_4_directory_types_need_a_scope_of_their_own():
    assert access_of("patient/Observation.rs", patient="p1").reach("Practitioner", Right.READ) is Reach.NONE


def test_settled_4_4_a_device_is_the_patients_own():
    assert access_of("patient/Device.rs", patient="p1").reach("Device", Right.READ) is Reach.COMPARTMENT


def test_smart_E7_a_patient_scope_never_creates_a_patient():
    assert access_of("patient/Patient.cruds", role="APP", patient="p1").reach("Patient", Right.CREATE) is Reach.NONE


def test_a_patient_without_a_chart_reaches_nothing_with_user_scopes():
    assert access_of("user/*.cruds", role="PATIENT").reach("Observation", Right.READ) is Reach.NONE


def test_security_AZ4_a_right_that_is_not_granted_names_type_and_interaction():
    with pytest.raises(InteractionForbidden, match="delete of Observation"):
        access_of("user/Observation.rs").require("Observation", Right.DELETE)


def test_settled_4_3_the_tokens_own_fhir_user_is_readable_without_a_scope_for_its_type():
    access = access_of("openid fhirUser", fhir_user="Practitioner/dr-1")
    assert access_for_read(access, "Practitioner", "dr-1").reach("Practitioner", Right.READ) is Reach.ORGANIZATION


@pytest.mark.parametrize(("resource_type", "resource_id"), [("Practitioner", "dr-2"), ("Patient", "dr-1")])
def test_settled_4_3_no_other_resource_is_readable_that_way(resource_type: str, resource_id: str):
    access = access_of("openid fhirUser", fhir_user="Practitioner/dr-1")
    assert access_for_read(access, resource_type, resource_id).reach(resource_type, Right.READ) is Reach.NONE


def test_settled_4_3_the_fhir_user_is_not_searchable_or_writable_that_way():
    access = access_for_read(access_of("openid", fhir_user="Practitioner/dr-1"), "Practitioner", "dr-1")
    assert all(access.reach("Practitioner", right) is Reach.NONE for right in set(Right) - {Right.READ})


def test_the_audit_names_actor_role_client_and_grant():
    access = access_of("user/*.rs")
    assert (access.actor, access.role, access.client_id, access.grant) == ("someone", "CLINICIAN", "an-app", "jti-1")


LETTERS = st.sets(st.sampled_from("cruds"), min_size=1).map(lambda some: "".join(x for x in "cruds" if x in some))
SCOPES = st.builds(
    "{}/{}.{}".format,
    st.sampled_from(["patient", "user", "system"]),
    st.sampled_from(["*", "Patient", "Observation", "Practitioner", "AuditEvent", "Claim"]),
    LETTERS,
)


@given(
    st.lists(SCOPES, max_size=4),
    SCOPES,
    st.sampled_from(["ORG_ADMIN", "NURSE", "PATIENT", "AUDITOR", "SERVICE", "APP", "SUPPORT"]),
)
def test_security_AZ5_a_further_scope_never_takes_away_and_never_passes_the_role(
    scopes: list[str], more: str, role: str
):
    narrow = access_of(" ".join(scopes), role, "p1")
    wide = access_of(" ".join([*scopes, more]), role, "p1")
    everything = access_of("patient/*.cruds user/*.cruds system/*.cruds", role, "p1")
    for resource_type in RESOURCE_TYPES:
        for right in Right:
            reach = wide.reach(resource_type, right)
            assert narrow.reach(resource_type, right) <= reach <= everything.reach(resource_type, right)


# --- granular scopes --------------------------------------------------------------------------------------------------

LABORATORY = "category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory"


def reach_by(scope: str, right: Right = Right.READ, role: str = "CLINICIAN") -> Reach:
    return access_of(scope, role, "p1").reach("Observation", right)


def test_smart_C6_a_granular_scope_reaches_less_than_the_type_as_a_whole():
    reach = reach_by(f"patient/Observation.rs?{LABORATORY}")
    assert Reach.NONE <= reach <= Reach.COMPARTMENT
    assert not reach >= Reach.COMPARTMENT
    assert reach.is_bound
    assert reach.is_granular


@pytest.mark.parametrize(
    ("scope", "reach"),
    [
        (f"patient/Observation.rs patient/Observation.rs?{LABORATORY}", Reach.COMPARTMENT),
        (f"user/Observation.rs patient/Observation.rs?{LABORATORY}", Reach.ORGANIZATION),
        (f"user/*.rs user/Observation.rs?{LABORATORY}", Reach.ORGANIZATION),
    ],
)
def test_smart_C6_a_scope_for_the_type_takes_granular_ones_in(scope: str, reach: Reach):
    assert reach_by(scope) is reach


def test_smart_C6_a_wide_granular_scope_takes_the_same_one_of_a_patient_in():
    both = reach_by(f"patient/Observation.rs?{LABORATORY} user/Observation.rs?{LABORATORY}")
    assert both == reach_by(f"user/Observation.rs?{LABORATORY}")
    assert not both.is_bound


def test_smart_C6_what_both_levels_reach_is_a_union():
    both = reach_by(f"patient/Observation.rs user/Observation.rs?{LABORATORY}")
    assert both >= Reach.COMPARTMENT
    assert both >= reach_by(f"user/Observation.rs?{LABORATORY}")
    assert not both >= Reach.ORGANIZATION


def test_security_AZ5_a_granular_scope_never_passes_the_role():
    scope = f"user/Observation.cruds?{LABORATORY}"
    assert reach_by(scope, Right.DELETE, "NURSE") is Reach.NONE
    assert reach_by(scope, Right.READ, "PATIENT").is_bound
    assert reach_by(scope, Right.READ, "AUDITOR") is Reach.NONE
    assert reach_by(f"patient/Patient.c?{LABORATORY.replace('category', '_tag')}", Right.CREATE) is Reach.NONE


def test_security_AZ3_a_granular_scope_of_a_patient_reaches_nothing_without_one():
    access = access_of(f"user/Observation.rs?{LABORATORY}", "PATIENT")
    assert access.reach("Observation", Right.READ) is Reach.NONE


def test_statements_are_told_apart_by_what_filters_ask_about_and_not_by_their_values():
    scopes = [f"patient/Observation.rs?code={code}&date=ge{year}" for code, year in (("a", 2020), ("b", 2021))]
    first, second = (access_of(scope, "APP", "p1") for scope in scopes)
    assert first.rights == second.rights
    assert first.filters != second.filters


def test_read_and_search_by_one_scope_are_one_reach():
    access = access_of(f"patient/Observation.rs?{LABORATORY} patient/Observation.rs?code=a", "APP", "p1")
    reach = access.reach("Observation", Right.READ)
    assert access.reach("Observation", Right.SEARCH) is reach, "one object: comparing a hundred filters takes long"
    assert reach | access.reach("Observation", Right.SEARCH) is reach


def test_smart_E18_the_fhir_user_is_readable_whatever_a_filter_says():
    access = access_of("user/Practitioner.rs?identifier=somebody-else", fhir_user="Practitioner/dr-1")
    assert access_for_read(access, "Practitioner", "dr-1").reach("Practitioner", Right.READ) is Reach.ORGANIZATION
    assert access_for_read(access, "Practitioner", "dr-2").reach("Practitioner", Right.READ).is_granular


def test_ten_thousand_filters_make_one_statement_and_are_not_remembered_for_ever():
    reaches, before = set(), _read_statement.cache_info().misses
    for number in range(10_000):
        access = access_of(f"patient/Observation.rs?code=http://loinc.org|{number}", "APP", "p1")
        reaches.add(access.reach("Observation", Right.READ))
        if not number % 100:
            _read_statement("postgresql", access.reach("Observation", Right.READ))
    assert len(reaches) == 1
    assert _read_statement.cache_info().misses - before <= 1
    assert _rights.cache_info().currsize <= 256
    assert parse_filter.cache_info().currsize <= 1024


def test_of_endless_shapes_of_filters_so_many_statements_are_kept():
    """Which of six parameters there are, and whether each has one value or several, is another shape each."""
    names = ("status", "category", "code", "method", "performer", "specimen")
    caches = (_read_statement, compile_plan)
    for number in range(1, 3**6, 7):
        asked = [(name, number // 3**at % 3) for at, name in enumerate(names)]
        text = "&".join(f"{name}={','.join(['Device/a', 'Device/b'][:values])}" for name, values in asked if values)
        access = access_of(f"patient/Observation.rs?{text}", "APP", "p1")
        for engine in ("postgresql", "sqlite"):
            _read_statement(engine, access.reach("Observation", Right.READ))
            compile_plan(plan_ids("Observation", (), access, Lowering(access, 0), 1), engine)
    for cache in caches:
        info = cache.cache_info()
        assert info.maxsize is not None
        assert info.currsize <= info.maxsize <= 512

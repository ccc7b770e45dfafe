"""Scope grammar and intersection (SMART App Launch 2.2 scopes-and-launch-context; `smart.md` §7)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.access import RESOURCE_TYPES
from fhir_server.oauth.scopes import InvalidScope, grant_text, intersect, parse_scope, parse_scopes


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("patient/Observation.rs", "patient/Observation.rs"),
        ("user/*.cruds", "user/*.cruds"),
        ("system/Patient.d", "system/Patient.d"),
        ("patient/Observation.rd", "patient/Observation.rd"),
        ("patient/Observation.read", "patient/Observation.rs"),
        ("patient/Observation.write", "patient/Observation.cud"),
        ("patient/*.*", "patient/*.cruds"),
        ("http://smarthealthit.org/fhir/scopes/user/Patient.r", "user/Patient.r"),
    ],
)
def test_smart_C1_C2_a_scope_has_one_normal_form(text: str, normal: str):
    assert str(parse_scope(text, RESOURCE_TYPES)) == normal


@pytest.mark.parametrize(
    "text",
    [
        "patient/Observation.dus", "patient/Observation.sr", "patient/Observation.rr", "patient/Observation.x",
        "patient/Observation.", "patient/observation.rs", "patient/Dragon.rs", "Patient/Observation.rs",
        "patient/Observation", "patient/.rs", "practitioner/Observation.rs", "openid", "launch/patient", "",
        "patient/Observation.rs\n", "patient/Obser vation.rs", "http://elsewhere.example/user/Patient.r",
    ],
)  # fmt: skip
def test_smart_C2_what_is_no_scope_is_never_guessed(text: str):
    assert parse_scope(text, RESOURCE_TYPES) is None


def test_security_OA12_a_granular_filter_is_refused_not_ignored():
    with pytest.raises(InvalidScope, match="filter"):
        parse_scopes("patient/Observation.rs?category=laboratory", RESOURCE_TYPES)


def test_a_list_is_taken_apart_and_repeated_scopes_count_once():
    grant = parse_scopes("openid user/Patient.rs nonsense user/Patient.read openid", RESOURCE_TYPES)
    assert [str(scope) for scope in grant.fhir] == ["user/Patient.rs"]
    assert (grant.identity, grant.unknown) == (("openid",), ("nonsense",))


@pytest.mark.parametrize(
    ("requested", "registered", "granted"),
    [
        ("user/Patient.rs", "user/*.cruds", "user/Patient.rs"),
        ("user/*.rs", "user/Patient.r", "user/Patient.r"),
        ("user/*.rs", "user/*.r user/Observation.rs", "user/*.r user/Observation.rs"),
        ("user/Patient.cruds", "user/Patient.rs user/*.c", "user/Patient.crs"),
        ("patient/Observation.read", "patient/*.rs", "patient/Observation.read"),
        ("patient/Observation.*", "patient/*.rs", "patient/Observation.rs"),
        ("openid launch user/Patient.r", "openid user/Patient.r", "openid user/Patient.r"),
        ("user/Patient.r system/Patient.r unheard-of", "user/Patient.r", "user/Patient.r"),
    ],
)
def test_smart_C4_granted_is_what_was_asked_and_is_registered(requested: str, registered: str, granted: str):
    assert grant_text(requested, registered, RESOURCE_TYPES) == granted


@pytest.mark.parametrize("requested", ["", "system/*.rs", "unheard-of", "user/Observation.d"])
def test_smart_C4_nothing_left_is_an_invalid_scope(requested: str):
    with pytest.raises(InvalidScope):
        grant_text(requested, "user/Patient.cruds user/Observation.rs", RESOURCE_TYPES)


LETTERS = st.sets(st.sampled_from("cruds"), min_size=1).map(lambda some: "".join(x for x in "cruds" if x in some))
SCOPES = st.lists(
    st.builds(
        "{}/{}.{}".format,
        st.sampled_from(["patient", "user", "system"]),
        st.sampled_from(["*", "Patient", "Observation"]),
        LETTERS,
    ).map(lambda text: parse_scope(text, RESOURCE_TYPES)),
    max_size=4,
)


def cells(scopes) -> set[tuple[str, str, str]]:
    """The meaning of scopes, spelt out for two named types and any other."""
    kinds = ("Patient", "Observation", "Other")
    return {
        (scope.level, kind, letter)
        for scope in scopes
        for kind in kinds
        if scope.resource_type in ("*", kind)
        for letter in scope.letters
    }


@given(SCOPES, SCOPES)
def test_smart_C4_intersection_means_the_intersection_of_meanings(requested, registered):
    assert cells(intersect(requested, registered)) == cells(requested) & cells(registered)

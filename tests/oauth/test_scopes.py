"""Scope grammar and intersection (SMART App Launch 2.2 scopes-and-launch-context; `smart.md` §7)."""

from __future__ import annotations

import sys
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.access import RESOURCE_TYPES
from fhir_server.oauth.filters import parse_filter
from fhir_server.oauth.scopes import MOST_GRANULAR, InvalidScope, grant_text, intersect, parse_scope, parse_scopes


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


LABORATORY = "category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory"


@pytest.mark.parametrize(
    "text",
    [
        f"patient/Observation.rs?{LABORATORY}",
        "patient/Observation.rs?category=http%3A%2F%2Fterminology.hl7.org%2FCodeSystem%2Fobservation-category%7Csurvey",
        "user/Observation.cruds?category=laboratory,survey&code=http://loinc.org|8302-2",
        "user/Observation.s?subject=Patient/p1",
        "system/Observation.rs?date=ge2024-01-01&date=lt2025-01-01T00:00:00Z",
        "patient/Patient.r?identifier=http://hospital.example/mrn|",
    ],
)
def test_smart_C1_C9_a_granular_scope_is_given_back_as_it_was_asked_for(text: str):
    assert str(parse_scope(text, RESOURCE_TYPES)) == text
    assert grant_text(text, "patient/*.rs user/*.cruds system/*.rs", RESOURCE_TYPES) == text


def test_smart_C9_a_filter_is_decoded_once():
    (plain,) = parse_filter("Observation", LABORATORY)
    (decoded,) = parse_filter("Observation", LABORATORY.replace("|", "%7C").replace("/", "%2F"))
    (twice,) = parse_filter("Observation", LABORATORY.replace("|", "%257C"))
    assert plain == decoded != twice


@pytest.mark.parametrize(
    "text",
    [
        "patient/Observation.rs?", "patient/Observation.rs?category", "patient/Observation.rs?category=",
        "patient/Observation.rs?category:in=http://a.example/set", "patient/Observation.rs?category:not=laboratory",
        "patient/Observation.rs?subject.name=peter", "patient/Observation.rs?_has:Provenance:target:_id=1",
        "patient/Observation.rs?_filter=code%20eq%20a", "patient/Observation.rs?unheard-of=a",
        "patient/Observation.rs?_id=1", "patient/Observation.rs?_lastUpdated=ge2024",
        "patient/Observation.rs?code=a%zz", "patient/Observation.rs?code=a%ff", "patient/Observation.rs?code=http://loinc.org|",
        "patient/Observation.rs?value-quantity=5", "patient/Observation.rs?value-string=a",
        "patient/Observation.rs?date=ap2024", "patient/Observation.rs?date=ge2024-01-01T00:00:00",
        "patient/Observation.rs?date=never", "patient/Observation.rs?code-value-concept=a$b",
        "patient/Observation.rs?subject=https://elsewhere.example/Patient/1", "patient/*.rs?category=laboratory",
        "patient/Observation.read?category=laboratory", "patient/Observation.rs?category=laboratory&",
        "patient/Observation.rs?code=" + ",".join(map(str, range(51))),
        "patient/Observation.rs?" + "&".join(f"code={each}" for each in range(9)),
    ],
)  # fmt: skip
def test_smart_C9_security_OA12_a_filter_that_cannot_be_enforced_is_not_granted(text: str):
    assert parse_scope(text, RESOURCE_TYPES) is None
    with pytest.raises(InvalidScope):
        grant_text(text, "patient/*.cruds", RESOURCE_TYPES)


def test_security_OA6_what_is_granted_fits_into_a_token():
    asked = " ".join(f"patient/Observation.rs?code={'a' * 60}{each}" for each in range(60))
    with pytest.raises(InvalidScope, match="longer"):
        grant_text(asked, "patient/*.rs", RESOURCE_TYPES)


def test_smart_C9_the_scopes_with_a_filter_are_limited_in_number():
    many = " ".join(f"patient/Observation.rs?code={each}" for each in range(MOST_GRANULAR + 1))
    with pytest.raises(InvalidScope, match="filter"):
        grant_text(many, "patient/*.rs", RESOURCE_TYPES)


@pytest.mark.parametrize(
    ("requested", "registered", "granted"),
    [
        ("patient/Observation.rs?code=a", "patient/Observation.r", "patient/Observation.r?code=a"),
        ("patient/Observation.rs", "patient/Observation.cruds?code=a", "patient/Observation.rs?code=a"),
        ("patient/*.rs", "patient/Procedure.rs?code=a patient/Goal.r", "patient/Goal.r patient/Procedure.rs?code=a"),
        ("patient/Observation.read", "patient/Observation.rs?code=a", "patient/Observation.rs?code=a"),
        ("patient/Observation.rs?code=a", "patient/Observation.rs?code=a,b", "patient/Observation.rs?code=a"),
        ("patient/Observation.rs?code=a,b", "patient/Observation.rs?code=a", "patient/Observation.rs?code=a"),
        ("patient/Procedure.r?code=a&date=2024", "patient/Procedure.r?code=a", "patient/Procedure.r?code=a&date=2024"),
        ("patient/Observation.rs", "patient/Observation.r patient/Observation.rs?code=a",
         "patient/Observation.r patient/Observation.s?code=a"),
        ("patient/Observation.rs?code=a", "patient/Observation.rs?code=%61", "patient/Observation.rs?code=a"),
    ],
)  # fmt: skip
def test_smart_C4_C7_of_two_filters_the_narrower_is_granted(requested: str, registered: str, granted: str):
    assert grant_text(requested, registered, RESOURCE_TYPES) == granted


@pytest.mark.parametrize(
    "registered",
    ["patient/Observation.rs?code=b", "patient/Condition.rs?code=a", "user/Observation.rs", "patient/Observation.cud"],
)
def test_smart_C4_a_granular_scope_that_is_not_registered_is_not_granted(registered: str):
    with pytest.raises(InvalidScope):
        grant_text("patient/Observation.rs?code=a", registered, RESOURCE_TYPES)


@pytest.mark.parametrize("letters", ["read", "rs"])
def test_smart_C3_C14_a_grant_answers_in_the_syntax_asked(letters: str):
    asked = f"http://smarthealthit.org/fhir/scopes/patient/Observation.{letters}"
    assert grant_text(asked, "patient/*.rs", RESOURCE_TYPES) == asked


@pytest.mark.parametrize("name", ["Library", "VisionPrescription", "MolecularSequence"])
def test_smart_C1_every_R4_type_is_granted(name: str):
    assert grant_text(f"patient/{name}.rs", "patient/*.rs", RESOURCE_TYPES) == f"patient/{name}.rs"


def test_smart_C13_extension_scopes_that_nobody_knows_are_dropped():
    asked = "patient/Goal.rs https://elsewhere.example/scopes/all __own"
    assert grant_text(asked, "patient/*.rs", RESOURCE_TYPES) == "patient/Goal.rs"


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
GRANULAR = st.lists(
    st.builds(
        "patient/{}.{}".format,
        st.sampled_from(["Patient", "Observation"]),
        st.builds("{}{}".format, LETTERS, st.sampled_from(["", "?_tag=a", "?_tag=b", "?_tag=a,b", "?_tag=a&_tag=b"])),
    ).map(lambda text: parse_scope(text, RESOURCE_TYPES)),
    max_size=4,
)
TAGS = [frozenset(), frozenset("a"), frozenset("b"), frozenset("ab")]


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


def tagged_cells(scopes) -> set[tuple[str, str, frozenset[str]]]:
    """The meaning of scopes for resources with the tags a and b, by type and letter."""
    return {
        (scope.resource_type, letter, tags)
        for scope in scopes
        for letter in scope.letters
        for tags in TAGS
        if all(any(value.code in tags for value in each.values) for each in scope.criteria)
    }


@given(GRANULAR, GRANULAR)
def test_smart_C4_a_granular_intersection_never_means_more_than_either(requested, registered):
    both = tagged_cells(requested) & tagged_cells(registered)
    found = tagged_cells(intersect(requested, registered))
    assert found <= both
    if not any("?_tag=a&" in str(scope) or ",b" in str(scope) for scope in (*requested, *registered)):
        assert found >= both - {cell for cell in both if cell[2] == frozenset("ab")}


@pytest.mark.parametrize(
    "asked",
    [["user/*.c"] * 900, [f"user/{each}.{letter}" for each in sorted(RESOURCE_TYPES)[:60] for letter in "cruds"]],
    ids=["one scope again and again", "as many as there is room for"],
)
def test_security_IN6_what_strangers_ask_for_costs_no_more_than_it_is_long(asked: list[str]):
    types = sorted(RESOURCE_TYPES)[:60]
    registered = " ".join(f"user/{each}.{letters}" for each in types for letters in ("r", "cruds"))
    calls = 0

    def count(_frame, event, _argument) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        with suppress(InvalidScope):
            grant_text(" ".join(asked), registered, RESOURCE_TYPES)
    finally:
        sys.setprofile(None)
    assert calls < 100 * (len(asked) + len(registered.split()))

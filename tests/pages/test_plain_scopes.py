"""Scopes in plain language (`smart.md` §15 consent and grants page)."""

from __future__ import annotations

import pytest

from capability.elements import RESOURCE_TYPES
from fhir_server.pages.plain_scopes import NAMES, Kind, describe_text
from fhir_server.pages.words import day, duration, moment

CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"


@pytest.mark.parametrize(
    ("scope", "lines"),
    [
        ("patient/*.rs", [(Kind.READ, "See all health data there is, now and in future")]),
        ("patient/*.read", [(Kind.READ, "See all health data there is, now and in future")]),
        ("patient/Condition.r", [(Kind.READ, "See health problems and diagnoses")]),
        (
            "patient/Goal.cruds",
            [
                (Kind.READ, "See health goals"),
                (Kind.CHANGE, "Add and change health goals"),
                (Kind.DELETE, "Delete health goals"),
            ],
        ),
        ("patient/Goal.c", [(Kind.CHANGE, "Add health goals")]),
        ("patient/Goal.u", [(Kind.CHANGE, "Change health goals")]),
        ("user/Goal.s", [(Kind.READ, "See health goals – of everyone whose data you may see")]),
        ("patient/ChargeItem.rs", [(Kind.READ, "See data of the kind charge item")]),
        (f"patient/Observation.rs?category={CATEGORY}|laboratory", [(Kind.READ, "See laboratory results")]),
        (f"patient/Observation.rs?category={CATEGORY}%7Claboratory", [(Kind.READ, "See laboratory results")]),
        (
            "patient/Observation.rs?category=http://evil.example|laboratory",
            [
                (Kind.READ, f"See {NAMES['Observation']} – only those with category=http://evil.example|laboratory"),
            ],
        ),
        (
            "openid fhirUser profile offline_access launch/patient",
            [
                (Kind.IDENTITY, "Know that it is you who signed in"),
                (Kind.IDENTITY, "Know your name and who you are here"),
                (Kind.OFFLINE, "Keep this access when you are not there, until you withdraw it"),
            ],
        ),
        ("nonsense patient/Nothing.rs", []),
    ],
)
def test_smart_15_a_scope_is_told_as(scope: str, lines: list[tuple[Kind, str]]):
    assert [(line.kind, line.text) for line in describe_text(scope)] == lines


def test_smart_15_what_changes_or_deletes_is_risky_and_lines_name_their_scopes():
    lines = describe_text("patient/Goal.rs patient/Goal.cud openid fhirUser profile")
    assert [line.is_risky for line in lines] == [False, True, True, False, False]
    assert [line.scopes for line in lines] == [
        ("patient/Goal.rs",),
        ("patient/Goal.cud",),
        ("patient/Goal.cud",),
        ("openid",),
        ("fhirUser", "profile"),
    ]


def test_smart_C10_everything_stands_first():
    assert "all health data" in describe_text("patient/Goal.rs patient/*.rs")[0].text


@pytest.mark.parametrize("resource_type", sorted(RESOURCE_TYPES))
def test_smart_C1_every_type_is_told_in_words(resource_type: str):
    (line,) = describe_text(f"patient/{resource_type}.rs")
    assert line.text
    assert resource_type in NAMES or resource_type not in line.text


def test_waits_and_days_are_words():
    assert [duration(each) for each in (1, 45, 90, 91, 900)] == [
        "1 second", "45 seconds", "90 seconds", "2 minutes", "15 minutes",
    ]  # fmt: skip
    assert day(1_772_668_800) == "5 March 2026"
    assert moment(1_772_668_800 + 3_660) == "5 March 2026, 01:01"

"""What is said of two records, whatever they say: laws of the comparison (decision 29)."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from storage.persons.comparison import WEIGHTS, Level, Trait, compare
from storage.persons.person import Person, folded, names_in, postcode_in, telephone
from storage.persons.verdict import MOST_OF_HOUSEHOLD, POSSIBLE, Verdict, judge, verdict
from storage.projection.person_records import Mark
from storage.tables.enums import MatchOutcome

RANK = {MatchOutcome.NOT: 0, MatchOutcome.POSSIBLE: 1, MatchOutcome.CERTAIN: 2}
NAMES = st.sampled_from(["", "ada", "adah", "ada maria", "a", "maria", "marie", "jean paul", "bob", "robert", "ян"])
FAMILIES = st.sampled_from(["", "quimby", "quimbi", "garcia", "garcia lopez", "lopez", "smith", "smyth"])
DATES = st.sampled_from(
    [date(1970, 1, 2), date(1970, 2, 1), date(1970, 1, 3), date(1979, 1, 2), date(1995, 5, 5), date(1971, 12, 31)]
)
BIRTHS = st.none() | DATES
FEW = st.frozensets(st.sampled_from(["2125551234", "3105559999"]), max_size=2)
MAILS = st.frozensets(st.sampled_from(["a@example.org", "b@example.org"]), max_size=2)
MARKS = st.frozensets(st.sampled_from([Mark("login", "", "u1"), Mark("medical_record_number", "", "1")]), max_size=2)


def persons(marks: st.SearchStrategy[frozenset[Mark]] = MARKS) -> st.SearchStrategy[Person]:
    """Any record."""
    return st.builds(
        Person,
        st.tuples(st.just("patients"), st.uuids().map(str)),
        FAMILIES,
        NAMES,
        BIRTHS,
        st.sampled_from([None, "male", "female"]),
        FEW,
        MAILS,
        st.sampled_from(["", "1 main st 10001", "2 main st 10001", "3 oak rd 94110"]),
        st.sampled_from([None, "10001", "94110"]),
        marks,
    )


def levels(trait: Trait) -> list[Level]:
    return list(WEIGHTS[trait])


AGREEMENTS = st.fixed_dictionaries({trait: st.sampled_from(levels(trait)) for trait in Trait})


@given(persons(), persons())
def test_identity_the_order_of_two_records_does_not_matter(one: Person, other: Person):
    assert judge(one, other) == judge(other, one)


@given(persons())
def test_identity_a_record_agrees_with_itself_in_all_that_it_says(one: Person):
    assert {Level.SAME, Level.UNKNOWN}.issuperset(compare(one, one).values())


@given(AGREEMENTS, st.sampled_from(list(Trait)), st.data())
def test_identity_to_agree_better_never_makes_a_pair_less_likely(agreements, trait: Trait, data: st.DataObject):
    better = data.draw(st.sampled_from(levels(trait)[: levels(trait).index(agreements[trait]) + 1]))
    before, after = verdict(agreements), verdict({**agreements, trait: better})
    assert after.score >= before.score
    # birth dates that are alike are more likely than none, and still two dates: never certain
    if trait is not Trait.BIRTH or better in {Level.SAME, Level.UNKNOWN}:
        assert RANK[after.outcome] >= RANK[before.outcome]


@given(AGREEMENTS)
def test_identity_what_a_household_shares_alone_is_nothing(agreements):
    alone = {
        trait: level if trait in {Trait.PHONE, Trait.EMAIL, Trait.ADDRESS} else Level.UNKNOWN
        for trait, level in agreements.items()
    }
    assert verdict(alone).outcome is MatchOutcome.NOT
    assert MOST_OF_HOUSEHOLD < POSSIBLE


@given(persons(), persons())
def test_identity_telephone_and_email_make_nothing_certain_that_is_not_certain_by_names_and_birth_date(
    one: Person, other: Person
):
    said = judge(replace(one, marks=frozenset()), replace(other, marks=frozenset()))
    if said.outcome is MatchOutcome.CERTAIN:
        assert (one.family, one.given, one.birth) == (other.family, other.given, other.birth)
        assert one.family
        assert one.given
        assert one.birth is not None


@given(persons(), persons(), DATES, DATES)
def test_identity_different_birth_dates_are_never_certain(one: Person, other: Person, birth: date, another: date):
    assume(birth != another)
    one, other = replace(one, birth=birth), replace(other, birth=another)
    assert judge(one, other).outcome is not MatchOutcome.CERTAIN


@given(persons(), NAMES, st.booleans())
def test_identity_twins_are_at_most_possible(one: Person, other_name: str, share_record: bool):
    assume(one.given and other_name and other_name != one.given)
    twin = replace(one, record=("patients", "twin"), given=other_name)
    if not share_record:
        twin = replace(twin, marks=frozenset())
    said = judge(one, twin)
    if compare(one, twin)[Trait.GIVEN] is Level.DIFFERENT or not share_record:
        assert said.outcome is not MatchOutcome.CERTAIN


@given(FAMILIES, st.sampled_from(["ada", "maria"]), st.none() | st.just(date(1960, 3, 4)), st.integers(16, 50))
def test_identity_a_parent_and_a_child_who_share_telephone_email_and_address_are_two(family, given_name, birth, years):
    home = {"phones": frozenset({"2125551234"}), "emails": frozenset({"a@example.org"}), "address": "1 main st"}
    parent = Person(("patients", "p"), family, given_name, birth, "female", **home)
    born = date(1990, 3, 4) if birth is None else birth.replace(year=birth.year + years)
    child = Person(("patients", "c"), family, "bob", born, "female", **home)
    assert judge(parent, child).outcome is MatchOutcome.NOT
    junior = replace(child, given=given_name)
    if birth is not None:
        assert judge(parent, junior).outcome is MatchOutcome.NOT


@given(persons(), persons())
def test_identity_an_identifier_that_is_given_to_one_person_only_is_never_passed_over(one: Person, other: Person):
    assume(not one.marks.isdisjoint(other.marks))
    said = judge(one, other)
    assert said.outcome is not MatchOutcome.NOT
    assert said.identifiers


ADA = Person(
    ("patients", "1"),
    "quimby",
    "ada",
    date(1970, 1, 2),
    "female",
    frozenset({"2125551234"}),
    frozenset({"ada@example.org"}),
)


def said(**changes: object) -> Verdict:
    return judge(ADA, replace(ADA, record=("patients", "2"), **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({}, "certain"),
        ({"emails": frozenset()}, "certain"),
        ({"emails": frozenset(), "phones": frozenset()}, "possible"),
        ({"birth": date(1970, 2, 1)}, "possible"),
        ({"birth": date(1970, 1, 3)}, "possible"),
        ({"birth": None}, "possible"),
        ({"given": "a"}, "possible"),
        ({"given": "adah"}, "possible"),
        ({"family": "jones"}, "possible"),
        ({"given": "bea"}, "possible"),
        ({"sex": "male"}, "possible"),
        ({"family": "jones", "given": "bea"}, "possible"),
        ({"family": "jones", "given": "bea", "birth": date(1975, 6, 7)}, "not"),
        ({"birth": date(1940, 1, 2)}, "not"),
    ],
)
def test_identity_outcomes_of_pairs_that_everybody_would_judge_alike(changes, outcome: str):
    assert said(**changes).outcome == outcome


def test_identity_the_evidence_says_each_comparison_in_words_and_no_values():
    evidence = said(given="bea", marks=ADA.marks).evidence()
    assert {each["trait"] for each in evidence["comparisons"]} == {each.value for each in Trait}
    assert {"trait": "given name", "agreement": "different", "weight": Decimal(-8)} in evidence["comparisons"]
    assert "quimby" not in str(evidence)
    assert "given name" in evidence["because"]


def test_identity_weights_fall_with_the_agreement():
    for weights in WEIGHTS.values():
        assert list(weights.values()) == sorted(weights.values(), reverse=True)
        assert weights[Level.UNKNOWN] == 0


@pytest.mark.parametrize(
    ("text", "plain"),
    [("Müller-Lüdenscheidt", "muller ludenscheidt"), ("  O'Neil ", "o neil"), ("ÅSA", "asa"), (None, ""), ("İ", "i")],
)
def test_identity_names_are_compared_without_case_accents_and_punctuation(text, plain: str):
    assert folded(text) == plain


def test_identity_telephones_words_and_zip_codes():
    assert telephone("+1 (212) 555-1234") == telephone("212.555.1234") == "2125551234"
    assert telephone("911") is None
    assert names_in("Quimby, Ada") == names_in("Ada Quimby") == ("quimby", "ada")
    assert names_in("Mum") == ("", "")
    assert postcode_in("10 Main St, New York NY 10001-1234") == "10001"
    assert postcode_in("10001 Main St") == "10001"
    assert postcode_in("Main St") is None

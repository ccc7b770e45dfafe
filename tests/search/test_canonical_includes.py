"""Includes along versioned references and canonicals (fhir_rest.md Q9)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from storage.access import Reach, Right
from tests.search.library import Library

FORM = "http://forms.example.org/intake"


@pytest.fixture
async def forms(library: Library) -> Library:
    """Answers to questionnaires: two versions of one are here, and a reference to a version of a Patient."""
    await library.add(
        {"resourceType": "Patient", "id": "p1"},
        {"resourceType": "Patient", "id": "p2"},
        {"resourceType": "Questionnaire", "id": "q1", "status": "active", "url": FORM, "version": "1"},
        {"resourceType": "Questionnaire", "id": "q2", "status": "active", "url": FORM, "version": "2"},
        {"resourceType": "Questionnaire", "id": "other", "status": "active", "url": f"{FORM}/2", "version": "2"},
        {"resourceType": "PlanDefinition", "id": "plan", "status": "active", "url": "http://plans.example.org/a"},
    )
    answered = {"resourceType": "QuestionnaireResponse", "status": "completed", "subject": {"reference": "Patient/p1"}}
    await library.add(
        {**answered, "id": "any", "questionnaire": FORM},
        {**answered, "id": "one", "questionnaire": f"{FORM}|1"},
        {**answered, "id": "two", "questionnaire": f"{FORM}|2"},
        {**answered, "id": "three", "questionnaire": f"{FORM}|3"},
        {**answered, "id": "none"},
        {
            "resourceType": "CarePlan",
            "id": "care",
            "status": "active",
            "intent": "plan",
            "subject": {"reference": "Patient/p2/_history/1"},
            "instantiatesCanonical": ["http://plans.example.org/a", f"{FORM}|2"],
        },
    )
    return library


@pytest.mark.parametrize(
    ("query", "included"),
    [
        ("_id=any&_include=QuestionnaireResponse:questionnaire", {"Questionnaire/q1", "Questionnaire/q2"}),
        ("_id=one&_include=QuestionnaireResponse:questionnaire", {"Questionnaire/q1"}),
        ("_id=two&_include=QuestionnaireResponse:questionnaire:Questionnaire", {"Questionnaire/q2"}),
        ("_id=three&_include=QuestionnaireResponse:questionnaire", set()),
        ("_id=none&_include=QuestionnaireResponse:questionnaire", set()),
        ("_id=one,two&_include=QuestionnaireResponse:questionnaire", {"Questionnaire/q1", "Questionnaire/q2"}),
        ("_id=one&_include=QuestionnaireResponse:*", {"Questionnaire/q1", "Patient/p1"}),
        ("_id=one&_include=*", {"Questionnaire/q1", "Patient/p1"}),
    ],
)
async def test_fhir_Q9_a_canonical_includes_what_has_its_url_and_version(
    forms: Library, query: str, included: set[str]
) -> None:
    assert await forms.included(f"QuestionnaireResponse?{query}") == included


@pytest.mark.parametrize(
    ("query", "included"),
    [
        ("_id=q1&_revinclude=QuestionnaireResponse:questionnaire", {"any", "one"}),
        ("_id=q2&_revinclude=QuestionnaireResponse:questionnaire", {"any", "two"}),
        ("_id=other&_revinclude=QuestionnaireResponse:questionnaire", set()),
        ("_id=q2&_revinclude=QuestionnaireResponse:*", {"any", "two"}),
    ],
)
async def test_fhir_Q9_what_names_a_canonical_is_included_in_reverse(
    forms: Library, query: str, included: set[str]
) -> None:
    found = await forms.included(f"Questionnaire?{query}")
    assert found == {f"QuestionnaireResponse/{each}" for each in included}


async def test_fhir_Q9_canonicals_of_several_types_and_rounds(forms: Library) -> None:
    plans = {"PlanDefinition/plan", "Questionnaire/q2"}
    assert await forms.included("CarePlan?_include=CarePlan:instantiates-canonical") == plans
    only = await forms.included("CarePlan?_include=CarePlan:instantiates-canonical:PlanDefinition")
    assert only == {"PlanDefinition/plan"}
    onward = "&_revinclude:iterate=QuestionnaireResponse:questionnaire"
    found = await forms.included(f"CarePlan?_include=CarePlan:instantiates-canonical{onward}")
    assert found == plans | {"QuestionnaireResponse/any", "QuestionnaireResponse/two"}


async def test_fhir_Q9_a_reference_to_a_version_includes_the_current_one(forms: Library) -> None:
    await forms.add({"resourceType": "Patient", "id": "p2", "active": True})
    page = await forms.page("CarePlan?_include=CarePlan:subject")
    assert [(str(each.key), each.version) for each in page.includes] == [("Patient/p2", 2)]
    assert await forms.included("Patient?_id=p2&_revinclude=CarePlan:subject") == {"CarePlan/care"}


async def test_security_AZ2_canonicals_lead_to_nothing_that_may_not_be_seen(forms: Library) -> None:
    own = forms.patient_access("p1")
    answers = dict.fromkeys(Right, Reach.COMPARTMENT)
    access = replace(own, rights={**own.rights, "QuestionnaireResponse": answers})
    query = "QuestionnaireResponse?_id=one&_include=QuestionnaireResponse:questionnaire"
    assert await forms.included(query, access) == set()
    reading = {**access.rights, "Questionnaire": {Right.READ: Reach.ORGANIZATION}}
    assert await forms.included(query, replace(access, rights=reading)) == {"Questionnaire/q1"}

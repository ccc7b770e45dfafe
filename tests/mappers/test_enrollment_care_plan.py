"""CarePlan, CareTeam and Goal ⇄ enrollments of the care platform (mapping.md CarePlan, settled §1.14)."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from fhir_server.validation.validate import resource_issues
from mappers import systems
from mappers.care_rows import Enrollment
from mappers.care_team import CARE_TEAM
from mappers.enrollment_care_plan import ENROLLMENT, program_uri
from mappers.goal import ENROLLMENT_GOAL, PROTOCOL_GOAL
from mappers.json_values import same
from mappers.lens import Absorbed, NotClaimed
from mappers.lookups import REFERENCE, ROW, Home, Lookups, Need
from mappers.residual import NOTHING
from mappers.rows import Protocol
from tests.builders_patients import CARE_CLINICIANS, CARE_PATIENTS, AnyClinician
from tests.builders_programs import CARE_HOMES, ENROLLMENTS, PROGRAM_ROWS, PROGRAMS
from tests.builders_values import ORGANIZATION
from tests.mappers.samples import bundles, care_platform_rows, examples, needs_samples, resources

CHAN = {"reference": f"Practitioner/{CARE_CLINICIANS[0]}", "display": "Terrence Chan, MD"}
HAROLD = {"reference": f"Patient/{CARE_PATIENTS[0]}"}
LOOKUPS = Lookups(organization_id=ORGANIZATION, homes=CARE_HOMES, rows=AnyClinician(PROGRAM_ROWS))
ENROLLED: Enrollment = replace(
    PROGRAM_ROWS["enrollments", ORGANIZATION, ENROLLMENTS[0]],
    billing_program_id="cms-rpm-2025",
    billing_eligibility={
        "eligible": True,
        "insurance": {"type": "Medicare Part B"},
        "chronicConditions": ["Hypertension (I10)", "Diabetes (E11)"],
    },
    notes="calls on Mondays",
)


def plan(**changes: Any) -> dict[str, Any]:
    """A plan that the enrollments can hold."""
    written = {
        "resourceType": "CarePlan",
        "id": "plan-1",
        "instantiatesUri": [program_uri(PROGRAMS[0])],
        "status": "active",
        "intent": "plan",
        "subject": HAROLD,
        "period": {"start": "2025-09-10"},
        "author": CHAN,
    }
    return {key: value for key, value in {**written, **changes}.items() if value is not None}


def claimed(written: dict[str, Any], current: Enrollment | None = None) -> Absorbed:
    """What becomes of a resource that is claimed; rendered, it is what was written."""
    outcome = ENROLLMENT.absorb(written, LOOKUPS, current)
    assert isinstance(outcome, Absorbed), outcome
    assert same(ENROLLMENT.render(outcome.row, "", LOOKUPS, outcome.residual), written)
    return outcome


# ---- CarePlan --------------------------------------------------------------------------------------------------------


def test_an_enrollment_shows_as_a_plan_of_its_program() -> None:
    shown = ENROLLMENT.render(ENROLLED, "", LOOKUPS)
    assert resource_issues(shown) == []
    assert shown["instantiatesUri"] == [f"{systems.CARE_PROGRAM}{PROGRAMS[0]}"]
    assert (shown["status"], shown["intent"], shown["period"]) == ("active", "plan", {"start": "2025-08-01"})
    assert (shown["title"], shown["description"]) == ("Hypertension RPM", "Blood pressure at home")
    assert [category["coding"][0]["code"] for category in shown["category"]] == ["assess-plan", "RPM"]
    assert (shown["subject"], shown["author"], shown["contributor"]) == (HAROLD, CHAN, [CHAN])
    assert shown["careTeam"] == [{"reference": f"CareTeam/{ENROLLED.id}"}]
    assert shown["note"] == [{"text": "calls on Mondays"}]
    assert "<b>Hypertension RPM</b>" in shown["text"]["div"]
    assert "Daily BP check" in shown["text"]["div"]


def test_who_pays_stays_out_of_the_plan() -> None:
    shown = str(ENROLLMENT.render(ENROLLED, "", LOOKUPS))
    assert not any(word in shown for word in ("cms-rpm-2025", "Medicare", "eligible", "Diabetes (E11)"))


def test_a_plan_addresses_the_conditions_that_the_enrollment_or_its_preset_names() -> None:
    addressed = [each["reference"] for each in ENROLLMENT.render(ENROLLED, "", LOOKUPS)["addresses"]]
    assert addressed[0] == "Condition/htn"
    assert len(addressed) == 2, "E11 names E11.9, nobody names gout, and a mistake is no condition"
    by_preset = ENROLLMENT.render(replace(ENROLLED, billing_eligibility=None), "", LOOKUPS)["addresses"]
    assert by_preset == [{"reference": "Condition/htn", "display": "Hypertension"}]
    assert "addresses" not in ENROLLMENT.render(replace(ENROLLED, patient_id=CARE_PATIENTS[1]), "", LOOKUPS)


def test_assessments_and_metrics_of_the_program_are_activities_each_once() -> None:
    details = [each["detail"] for each in ENROLLMENT.render(ENROLLED, "", LOOKUPS)["activity"]]
    assert [(each["kind"], each["code"]["text"]) for each in details] == [
        ("Task", "Daily BP check"),
        ("ServiceRequest", "Blood Pressure"),
        ("ServiceRequest", "Mood"),
        ("Task", "Monthly review"),
    ]
    assert details[1]["code"]["coding"] == [{"system": systems.LOINC, "code": "85354-9"}]
    assert details[1]["description"] == "Sit 5 minutes first"
    assert details[0]["scheduledTiming"] == {"repeat": {"frequency": 1, "period": 1, "periodUnit": "d"}}
    assert details[3]["scheduledTiming"]["repeat"]["periodUnit"] == "mo"
    assert {each["status"] for each in details} == {"in-progress"}


@pytest.mark.parametrize(
    ("row_status", "code", "activity", "team", "goal"),
    [
        ("PENDING", "draft", "not-started", "proposed", "planned"),
        ("ACTIVE", "active", "in-progress", "active", "active"),
        ("INACTIVE", "on-hold", "on-hold", "suspended", "on-hold"),
        ("COMPLETED", "completed", "completed", "inactive", "completed"),
        ("WITHDRAWN", "revoked", "stopped", "inactive", "cancelled"),
    ],
)
def test_a_status_shows_in_plan_activities_team_and_goals(
    row_status: str, code: str, activity: str, team: str, goal: str
) -> None:
    row = replace(ENROLLED, status=row_status)
    shown = ENROLLMENT.render(row, "", LOOKUPS)
    assert (shown["status"], shown["activity"][0]["detail"]["status"]) == (code, activity)
    assert CARE_TEAM.render(row, "", LOOKUPS)["status"] == team
    part = ENROLLMENT_GOAL.parts(row, LOOKUPS)[0]
    assert ENROLLMENT_GOAL.render(row, part, LOOKUPS)["lifecycleStatus"] == goal
    assert claimed({**shown}, row).row == row


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"instantiatesUri": None}, "instantiatesUri"),
        ({"instantiatesUri": ["https://other.example/plan"]}, "instantiatesUri"),
        ({"instantiatesUri": [program_uri("gone")]}, "names nothing in care_programs"),
        ({"author": None}, "author"),
        ({"author": {"reference": "Practitioner/stranger"}}, "clinicians"),
        ({"subject": {"reference": "Patient/customer"}}, "patients"),
        ({"intent": "order"}, "intent"),
        ({"intent": "proposal"}, "intent"),
        ({"status": "unknown"}, "status"),
        ({"status": "entered-in-error"}, "status"),
        ({"period": None}, "period"),
        ({"period": {"end": "2026-01-01"}}, "period"),
        ({"period": {"start": "2025-09"}}, "period"),
    ],
)
def test_a_plan_is_not_claimed_when_enrollments_cannot_hold_it(changes: dict[str, Any], reason: str) -> None:
    outcome = ENROLLMENT.absorb(plan(**changes), LOOKUPS)
    assert isinstance(outcome, NotClaimed)
    assert reason in outcome.reason


def test_a_plan_needs_its_program_and_the_homes_of_its_people() -> None:
    other = {"reference": "Practitioner/x"}
    needs = ENROLLMENT.needs(plan(instantiatesUri=[program_uri(PROGRAMS[1])], contributor=[other]))
    assert Need(ROW, f"care_programs/{PROGRAMS[1]}") in needs
    references = {need.value for need in needs if need.kind == REFERENCE}
    assert references == {HAROLD["reference"], CHAN["reference"], other["reference"]}


def test_a_new_plan_fills_an_enrollment_without_a_payer() -> None:
    written = plan(
        title="Our own title",
        contributor=[{"display": "the family"}],
        goal=[{"reference": "Goal/g1"}],
        activity=[{"detail": {"status": "scheduled", "description": "walk"}}],
        note=[{"text": "a", "authorString": "Ann"}, {"text": "b"}],
        period={"start": "2025-09-10T08:00:00+02:00", "end": "2026-03-01"},
    )
    row = claimed(written).row
    assert (row.patient_id, row.clinician_id, row.care_program_id) == (
        CARE_PATIENTS[0],
        CARE_CLINICIANS[0],
        PROGRAMS[0],
    )
    assert (row.start_date, row.end_date) == (
        datetime(2025, 9, 10, 6, tzinfo=UTC),
        datetime(2026, 3, 1, tzinfo=UTC),
    )
    assert (row.status, row.notes, row.billing_program_id, row.billing_eligibility) == ("ACTIVE", "a\n\nb", None, None)


def test_a_clinician_may_be_named_as_contributor() -> None:
    written = plan(author={"reference": "Organization/clinic"}, contributor=[{"reference": "Patient/x"}, CHAN])
    assert claimed(written).row.clinician_id == CARE_CLINICIANS[0]


def test_a_change_of_clinician_leaves_what_belongs_to_billing() -> None:
    other = {"reference": next(key for key, home in CARE_HOMES.items() if home.key == CARE_CLINICIANS[1])}
    row = claimed({**ENROLLMENT.render(ENROLLED, "", LOOKUPS), "author": other}, ENROLLED).row
    assert row == replace(ENROLLED, clinician_id=CARE_CLINICIANS[1])


def test_an_enrollment_does_not_move_to_another_patient() -> None:
    other = {"reference": next(key for key, home in CARE_HOMES.items() if home.key == CARE_PATIENTS[1])}
    outcome = ENROLLMENT.absorb({**ENROLLMENT.render(ENROLLED, "", LOOKUPS), "subject": other}, LOOKUPS, ENROLLED)
    assert isinstance(outcome, NotClaimed)
    assert "another patient" in outcome.reason


def test_what_a_plan_drops_of_not_null_columns_stays_in_them() -> None:
    kept = ("resourceType", "id", "status", "intent", "subject")
    bare = {key: value for key, value in ENROLLMENT.render(ENROLLED, "", LOOKUPS).items() if key in kept}
    assert claimed(bare, ENROLLED).row == replace(ENROLLED, notes=None)


def test_an_end_before_the_start_is_not_shown_and_not_lost() -> None:
    """FHIR R4 invariant per-1."""
    odd = replace(ENROLLED, end_date=datetime(2025, 7, 1, tzinfo=UTC))
    shown = ENROLLMENT.render(odd, "", LOOKUPS)
    assert shown["period"] == {"start": "2025-08-01"}
    assert claimed({**shown, "period": {"start": "2025-08-02"}}, odd).row.end_date == odd.end_date
    same_day = replace(
        ENROLLED, start_date=datetime(2025, 8, 1, 9, tzinfo=UTC), end_date=datetime(2025, 8, 1, tzinfo=UTC)
    )
    assert ENROLLMENT.render(same_day, "", LOOKUPS)["period"] == {"start": "2025-08-01T09:00:00Z", "end": "2025-08-01"}


def test_a_program_renamed_shows_its_new_name_over_a_written_title() -> None:
    outcome = claimed({**ENROLLMENT.render(ENROLLED, "", LOOKUPS), "title": "Ours"}, ENROLLED)
    key = ("care_programs", ORGANIZATION, PROGRAMS[0])
    renamed = replace(PROGRAM_ROWS[key], name="Blood pressure RPM")
    after = replace(LOOKUPS, rows=AnyClinician({**PROGRAM_ROWS, key: renamed}))
    assert ENROLLMENT.render(outcome.row, "", LOOKUPS, outcome.residual)["title"] == "Ours"
    assert ENROLLMENT.render(outcome.row, "", after, outcome.residual)["title"] == "Blood pressure RPM"


# ---- CareTeam and Goal -----------------------------------------------------------------------------------------------


def test_the_team_is_the_patient_and_the_clinician() -> None:
    shown = CARE_TEAM.render(ENROLLED, "", LOOKUPS)
    assert resource_issues(shown) == []
    assert (shown["name"], shown["subject"], shown["period"]) == ("Hypertension RPM", HAROLD, {"start": "2025-08-01"})
    assert [each["member"] for each in shown["participant"]] == [HAROLD, CHAN]
    assert all(each["role"] for each in shown["participant"])


def test_each_goal_of_the_program_is_a_goal_of_each_enrolled_patient() -> None:
    row = replace(ENROLLED, end_date=datetime(2026, 2, 1, tzinfo=UTC))
    shown = [ENROLLMENT_GOAL.render(row, part, LOOKUPS) for part in ENROLLMENT_GOAL.parts(row, LOOKUPS)]
    assert [each["description"]["text"] for each in shown] == ["BP < 130/80", "Walk", "bp < 130/80"]
    assert [resource_issues(each) for each in shown] == [[], [], []]
    assert shown[0]["target"] == [{"dueDate": "2026-02-01"}]
    named = ENROLLMENT.render(row, "", LOOKUPS)["goal"]
    assert [each["reference"] for each in named] == [f"Goal/{each['id']}" for each in shown]
    other = replace(row, id=ENROLLMENTS[1])
    assert not {ENROLLMENT_GOAL.resource_id(other, part) for part in ENROLLMENT_GOAL.parts(other, LOOKUPS)} & {
        each["id"] for each in shown
    }
    assert ENROLLMENT_GOAL.parts(replace(row, care_program_id=PROGRAMS[1]), LOOKUPS) == ()


@pytest.mark.parametrize(
    ("goals", "texts"),
    [
        (["Lose 5 kg", {"description": "Sleep", "due": "2026"}, 7, " "], ["Lose 5 kg", "Sleep"]),
        ("Feel better", ["Feel better"]),
        ({"text": "Run"}, ["Run"]),
        (None, []),
        (["a", "A "], ["a", "A "]),
    ],
)
def test_the_goals_of_a_protocol_are_goals(goals: Any, texts: list[str]) -> None:
    row = Protocol("p", ORGANIZATION, "customer", "Recovery", "paused", goals=goals)
    shown = [PROTOCOL_GOAL.render(row, part, LOOKUPS) for part in PROTOCOL_GOAL.parts(row, LOOKUPS)]
    assert [each["description"]["text"] for each in shown] == texts
    assert all(each["lifecycleStatus"] == "on-hold" for each in shown)
    assert len({each["id"] for each in shown}) == len(shown)


@pytest.mark.parametrize("mapper", [CARE_TEAM, ENROLLMENT_GOAL], ids=lambda mapper: mapper.name)
def test_teams_and_goals_are_read_only_and_name_the_endpoint(mapper: Any) -> None:
    part = mapper.parts(ENROLLED, LOOKUPS)[0]
    outcome = mapper.absorb(mapper.render(ENROLLED, part, LOOKUPS), LOOKUPS, ENROLLED, part)
    assert isinstance(outcome, NotClaimed)
    assert "/care/" in outcome.reason


# ---- sample data -----------------------------------------------------------------------------------------------------


@needs_samples
def test_every_sample_enrollment_is_valid_and_comes_back() -> None:
    rows = care_platform_rows()
    known = {
        (table, row.organization_id, row.id): row
        for table in ("patients", "clinicians", "care_programs")
        for row in rows[table]
    }
    for row in rows["enrollments"]:
        lookups = Lookups(
            organization_id=row.organization_id,
            homes={f"Patient/{row.patient_id}": Home("patients", row.patient_id)},
            rows=known,
        )
        shown = ENROLLMENT.render(row, "", lookups)
        assert resource_issues(shown) == []
        assert shown["title"]
        assert ENROLLMENT.absorb(shown, lookups, row) == Absorbed(row, NOTHING)
        for mapper in (CARE_TEAM, ENROLLMENT_GOAL):
            assert all(resource_issues(mapper.render(row, part, lookups)) == [] for part in mapper.parts(row, lookups))


class AnyPatient(dict[str, Home]):
    """Every reference to a Patient leads to a row of `patients`."""

    def get(self, key: str, default: Any = None) -> Any:
        if key.startswith(("Patient/", "urn:uuid:")):
            return Home("patients", CARE_PATIENTS[0])
        return dict.get(self, key, default)


def offered(resource: dict[str, Any]) -> Absorbed | NotClaimed:
    known = replace(LOOKUPS, homes=AnyPatient(CARE_HOMES))
    outcome = ENROLLMENT.absorb(resource, known)
    if isinstance(outcome, Absorbed):
        assert same(ENROLLMENT.render(outcome.row, "", known, outcome.residual), resource)
    return outcome


@needs_samples
def test_no_synthea_plan_names_a_program_and_all_come_back_unchanged_once_they_do() -> None:
    """Settled §1.14: all 307 are native, since they are orders, name no program and no clinician."""
    plans = [one for path in bundles() for one in resources(path) if one["resourceType"] == "CarePlan"]
    reasons = Counter(outcome.reason for outcome in map(offered, plans) if isinstance(outcome, NotClaimed))
    assert reasons == {"CarePlan.instantiatesUri[program] is needed for enrollments.care_program_id": len(plans)}
    ours = [{**one, "intent": "plan", "author": CHAN, "instantiatesUri": [program_uri(PROGRAMS[0])]} for one in plans]
    assert all(isinstance(offered({key: one[key] for key in one if key != "meta"}), Absorbed) for one in ours)


@needs_samples
def test_official_plans_come_back_unchanged_when_they_are_claimed() -> None:
    found = [one for path in examples() for one in resources(path) if one["resourceType"] == "CarePlan"]
    ours = {"intent": "plan", "author": CHAN, "instantiatesUri": [program_uri(PROGRAMS[0])], "subject": HAROLD}
    for one in found:
        assert isinstance(offered(one), NotClaimed)
        outcome = offered({**one, **ours, "period": one.get("period", {"start": "2025-01-01"})})
        assert isinstance(outcome, Absorbed) or "period" in outcome.reason
    assert found

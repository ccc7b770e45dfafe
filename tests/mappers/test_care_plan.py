"""CarePlan ⇄ protocols and subscriptions (mapping.md CarePlan)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from fhir_server.validation.validate import resource_issues
from mappers import systems
from mappers.care_plan import PROTOCOL, TREATMENT
from mappers.goal import PROTOCOL_GOAL
from mappers.json_values import same
from mappers.lens import Absorbed, NotClaimed
from mappers.lookups import Home, Lookups
from mappers.practitioner import CLINICIAN_TABLE
from mappers.rows import PatientPrescription, Protocol, Subscription
from tests.graph_samples import examples, needs_samples, sample_rows, synthea

JANE = "46416154-6565-532d-9584-05bbb662ff86"
BARE = Lookups(organization_id="loop-health", clinicians={"dr_smith_123": "Dr. Sarah Smith, MD"})
SMITH = BARE.reference("Practitioner", CLINICIAN_TABLE, "dr_smith_123")
LOOKUPS = replace(
    BARE,
    homes={f"Patient/{JANE}": Home("customer_profiles", JANE), SMITH: Home(CLINICIAN_TABLE, "dr_smith_123")},
)
PLAN = Protocol(
    id="5d6a5b29-cf72-5a17-b508-073339c3f774",
    organization_id="loop-health",
    customer_id=JANE,
    name="TRT start",
    status="active",
    compounds=[
        {
            "name": "Testosterone cypionate",
            "dosage": "50 mg",
            "frequency": "2x/week",
            "route": "IM",
            "cycle": {"w": 12},
        },
        {"name": "Anastrozole", "dosage": Decimal("0.25"), "unit": "mg", "frequency": "prn"},
    ],
    start_date=date(2026, 3, 2),
    created_by="dr_smith_123",
    notes="recheck",
    goals=["Lose 5 kg"],
)
TREATED = Subscription(
    id="aec5df5d-e493-543f-9836-30a843ee8d07",
    organization_id="loop-health",
    customer_id=JANE,
    product_id="semaglutide-0.25mg",
    product_name="Semaglutide 0.25mg",
    offering_name="GLP-1 Weight Management",
    clinician_id="dr_smith_123",
    clinician_name="Dr. Sarah Smith, MD",
    rimo_treatment_id="rimo_1023",
    status="approved",
    started_at=datetime(2026, 3, 21, tzinfo=UTC),
    monthly_price_cents=29900,
    patient_prescriptions=(PatientPrescription("rx-1", "loop-health", JANE, "aec5", "o-1", "Semaglutide", "0.25mg"),),
)
CATEGORY = {"system": systems.CARE_PLAN_CATEGORY}


def plan(**changes: Any) -> dict[str, Any]:
    """A plan that the protocols can hold."""
    written = {
        "resourceType": "CarePlan",
        "id": "plan-1",
        "status": "active",
        "intent": "plan",
        "title": "Recovery",
        "subject": {"reference": f"Patient/{JANE}"},
    }
    return {key: value for key, value in {**written, **changes}.items() if value is not None}


def treatment(**changes: Any) -> dict[str, Any]:
    """An order that the subscriptions can hold."""
    product = {"coding": [{"system": systems.PRODUCT, "code": "bpc-157"}]}
    written = {
        "intent": "order",
        "category": [{"coding": [{**CATEGORY, "code": "treatment"}], "text": "Treatment"}],
        "activity": [{"detail": {"status": "scheduled", "productCodeableConcept": product}}],
    }
    return plan(**{**written, **changes})


def claimed(mapper: Any, written: dict[str, Any], current: Any = None) -> Absorbed:
    """What a mapper makes of a resource it claims; rendered, it is what was written."""
    outcome = mapper.absorb(written, LOOKUPS, current)
    assert isinstance(outcome, Absorbed), outcome
    assert same(mapper.render(outcome.row, "", LOOKUPS, outcome.residual), written)
    return outcome


# ---- protocols -------------------------------------------------------------------------------------------------------


def test_a_protocol_shows_as_a_plan_with_narrative_and_categories() -> None:
    shown = PROTOCOL.render(PLAN, "", LOOKUPS)
    assert resource_issues(shown) == []
    assert shown["meta"]["profile"] == [f"{systems.US_CORE}us-core-careplan"]
    assert shown["text"]["status"] == "generated"
    assert "<b>TRT start</b>" in shown["text"]["div"]
    assert [category["coding"][0]["code"] for category in shown["category"]] == ["assess-plan", "protocol"]
    assert (shown["status"], shown["intent"], shown["title"]) == ("active", "plan", "TRT start")
    assert shown["period"] == {"start": "2026-03-02"}
    assert shown["author"] == {"reference": SMITH, "display": "Dr. Sarah Smith, MD"}
    (part,) = PROTOCOL_GOAL.parts(PLAN)
    assert shown["goal"] == [{"reference": f"Goal/{PROTOCOL_GOAL.resource_id(PLAN, part)}", "display": "Lose 5 kg"}]
    assert shown["note"] == [{"text": "recheck"}]


def test_a_compound_shows_as_one_detail_with_dose_and_timing() -> None:
    testosterone, anastrozole = PROTOCOL.render(PLAN, "", LOOKUPS)["activity"]
    assert testosterone["detail"] == {
        "kind": "MedicationRequest",
        "code": {"text": "Testosterone cypionate"},
        "status": "in-progress",
        "scheduledTiming": {
            "repeat": {"frequency": 2, "period": 1, "periodUnit": "wk"},
            "code": {"text": "2x/week"},
        },
        "quantity": {"value": 50, "unit": "mg", "system": systems.UCUM, "code": "mg"},
        "description": "IM",
    }
    assert anastrozole["detail"]["code"]["coding"][0]["code"] == "84857"
    assert anastrozole["detail"]["quantity"]["value"] == Decimal("0.25")
    assert anastrozole["detail"]["scheduledString"] == "prn"


def test_an_activity_changed_through_fhir_changes_its_compound_and_no_other_key() -> None:
    written = PROTOCOL.render(PLAN, "", LOOKUPS)
    first, second = written["activity"]
    first = {"detail": {**first["detail"], "quantity": {"value": 60, "unit": "mg"}}}
    new = {"detail": {"kind": "MedicationRequest", "status": "scheduled", "code": {"text": "HCG"}}}
    visit = {"detail": {"status": "scheduled", "code": {"text": "Check-up"}}}
    outcome = claimed(PROTOCOL, {**written, "activity": [visit, second, first, new]}, PLAN)
    assert outcome.row.compounds == [
        PLAN.compounds[1],
        {**PLAN.compounds[0], "dosage": "60 mg"},
        {"name": "HCG"},
    ]


def test_what_is_not_to_be_given_is_no_compound() -> None:
    detail = {"kind": "MedicationRequest", "status": "scheduled", "code": {"text": "Aspirin"}, "doNotPerform": True}
    assert claimed(PROTOCOL, plan(activity=[{"detail": detail}])).row.compounds == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"title": None}, "title"),
        ({"intent": "order"}, "intent"),
        ({"intent": "proposal"}, "intent"),
        ({"status": "draft"}, "status"),
        ({"status": "entered-in-error"}, "status"),
        ({"subject": {"reference": "Group/g"}}, "subject"),
        ({"category": [{"coding": [{**CATEGORY, "code": "treatment"}]}]}, "category"),
    ],
)
def test_a_plan_is_not_claimed_when_protocols_cannot_hold_it(changes: dict[str, Any], reason: str) -> None:
    outcome = PROTOCOL.absorb(plan(**changes), LOOKUPS)
    assert isinstance(outcome, NotClaimed)
    assert reason in outcome.reason


def test_a_plan_fills_the_row_and_is_rendered_as_it_was_written() -> None:
    written = plan(
        status="revoked",
        description="Rest",
        period={"start": "2026-03", "end": "2026-05-01T05:05:47+00:00"},
        author={"reference": SMITH},
        note=[{"text": "a", "authorString": "Ann"}, {"text": "b"}],
        goal=[{"reference": "Goal/g1"}],
    )
    row = claimed(PROTOCOL, written).row
    assert (row.status, row.description, row.created_by, row.notes) == ("cancelled", "Rest", "dr_smith_123", "a\n\nb")
    assert (row.start_date, row.end_date) == (None, date(2026, 5, 1))


def test_without_an_end_date_the_period_ends_when_the_protocol_did() -> None:
    done = replace(PLAN, status="completed", completed_at=datetime(2026, 4, 1, 8, tzinfo=UTC))
    shown = PROTOCOL.render(done, "", LOOKUPS)
    assert shown["period"] == {"start": "2026-03-02", "end": "2026-04-01T08:00:00Z"}
    assert claimed(PROTOCOL, shown, done).row == done
    assert PROTOCOL.render(replace(done, end_date=date(2026, 3, 30)), "", LOOKUPS)["period"]["end"] == "2026-03-30"


def test_an_end_before_the_start_is_not_shown_and_not_lost() -> None:
    """FHIR R4 invariant per-1."""
    odd = replace(PLAN, end_date=date(2026, 1, 1), completed_at=datetime(2026, 4, 1, tzinfo=UTC))
    shown = PROTOCOL.render(odd, "", LOOKUPS)
    assert shown["period"] == {"start": "2026-03-02"}
    assert claimed(PROTOCOL, shown, odd).row == odd


def test_an_end_that_was_not_shown_does_not_appear_when_the_start_is_dropped() -> None:
    odd = replace(PLAN, end_date=date(2026, 1, 1))
    written = {key: value for key, value in PROTOCOL.render(odd, "", LOOKUPS).items() if key != "period"}
    assert claimed(PROTOCOL, written, odd).row == replace(odd, start_date=None, end_date=None)
    moved = {**written, "period": {"start": "2026-03-03"}}
    assert claimed(PROTOCOL, moved, odd).row == replace(odd, start_date=date(2026, 3, 3))


def test_a_new_start_leaves_the_end_where_it_was() -> None:
    done = replace(PLAN, status="completed", completed_at=datetime(2026, 4, 1, 8, tzinfo=UTC))
    written = {**PROTOCOL.render(done, "", LOOKUPS)}
    written["period"] = {**written["period"], "start": "2026-03-05"}
    assert claimed(PROTOCOL, written, done).row == replace(done, start_date=date(2026, 3, 5))


# ---- treatments ------------------------------------------------------------------------------------------------------


def test_a_treatment_shows_as_an_order_without_prices() -> None:
    shown = TREATMENT.render(TREATED, "", LOOKUPS)
    assert resource_issues(shown) == []
    assert (shown["title"], shown["description"]) == ("GLP-1 Weight Management", "Semaglutide 0.25mg")
    assert [category["coding"][0]["code"] for category in shown["category"]] == ["assess-plan", "treatment"]
    assert shown["identifier"] == [{"system": systems.RIMO_TREATMENT, "value": "rimo_1023"}]
    assert shown["author"] == {"reference": SMITH, "display": "Dr. Sarah Smith, MD"}
    assert shown["activity"] == [
        {
            "detail": {
                "productCodeableConcept": {"coding": [{"system": systems.PRODUCT, "code": "semaglutide-0.25mg"}]},
                "status": "scheduled",
            }
        },
        {"reference": {"reference": "MedicationRequest/rx-1"}},
    ]
    assert "29900" not in str(shown)


@pytest.mark.parametrize(
    ("row_status", "code", "exact"),
    [
        ("pending", "draft", None),
        ("approved", "active", "approved"),
        ("active", "active", None),
        ("paused", "on-hold", None),
        ("completed", "completed", None),
        ("rejected", "revoked", "rejected"),
        ("cancelled", "revoked", None),
    ],
)
def test_a_treatment_status_travels_exactly(row_status: str, code: str, exact: str | None) -> None:
    row = replace(TREATED, status=row_status)
    shown = TREATMENT.render(row, "", LOOKUPS)
    extension = [{"url": systems.EXACT_STATUS, "valueCode": exact}] if exact else None
    assert (shown["status"], shown.get("_status", {}).get("extension")) == (code, extension)
    assert claimed(TREATMENT, shown, row).row == row


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"category": None}, "category"),
        ({"category": [{"coding": [{**CATEGORY, "code": "protocol"}]}]}, "category"),
        ({"intent": "plan"}, "intent"),
        ({"activity": None}, "product"),
        ({"title": None}, "title"),
        ({"status": "unknown"}, "status"),
    ],
)
def test_an_order_is_not_claimed_when_subscriptions_cannot_hold_it(changes: dict[str, Any], reason: str) -> None:
    outcome = TREATMENT.absorb(treatment(**changes), LOOKUPS)
    assert isinstance(outcome, NotClaimed)
    assert reason in outcome.reason


def test_an_order_fills_the_row_and_is_rendered_as_it_was_written() -> None:
    row = claimed(TREATMENT, treatment(author={"reference": SMITH}, note=[{"text": "titrate"}])).row
    assert (row.product_id, row.product_name, row.offering_name) == ("bpc-157", "Recovery", None)
    assert (row.clinician_id, row.clinician_name) == ("dr_smith_123", "Dr. Sarah Smith, MD")
    assert (row.status, row.interval, row.notes) == ("active", "monthly", "titrate")


def test_the_end_of_a_treatment_goes_where_its_status_says() -> None:
    period = {"start": "2026-01-01T00:00:00Z", "end": "2026-02-01T00:00:00Z"}
    end = datetime(2026, 2, 1, tzinfo=UTC)
    done, revoked, planned = (
        claimed(TREATMENT, treatment(status=code, period=period)).row for code in ("completed", "revoked", "active")
    )
    assert (done.completed_at, done.cancelled_at) == (end, None)
    assert (revoked.completed_at, revoked.cancelled_at) == (None, end)
    assert (planned.completed_at, planned.cancelled_at) == (None, None)


def test_a_new_title_is_the_offering_and_leaves_the_product() -> None:
    written = {**TREATMENT.render(TREATED, "", LOOKUPS), "title": "Weight"}
    row = claimed(TREATMENT, written, TREATED).row
    assert (row.offering_name, row.product_name) == ("Weight", "Semaglutide 0.25mg")


# ---- sample data -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mapper", "row"),
    [
        *((PROTOCOL, row) for row in sample_rows("protocols")),
        *((TREATMENT, row) for row in sample_rows("subscriptions")),
    ],
    ids=lambda value: value.id if isinstance(value, (Protocol, Subscription)) else value.name,
)
def test_every_sample_plan_is_valid_and_comes_back(mapper: Any, row: Any) -> None:
    lookups = replace(LOOKUPS, homes={f"Patient/{row.customer_id}": Home("customer_profiles", row.customer_id)})
    shown = mapper.render(row, "", lookups)
    assert resource_issues(shown) == []
    outcome = mapper.absorb(shown, lookups, row)
    assert isinstance(outcome, Absorbed)
    assert (outcome.row, bool(outcome.residual)) == (row, False)


@needs_samples
def test_official_and_synthea_plans_come_back_unchanged_when_they_are_claimed() -> None:
    counts = {True: 0, False: 0}
    for resource in [*examples("CarePlan"), *synthea("CarePlan", 12)]:
        subject = {resource["subject"]["reference"]: Home("customer_profiles", JANE)}
        lookups = replace(LOOKUPS, homes={**LOOKUPS.homes, **subject})
        for offered in (resource, {**resource, "intent": "plan", "title": "Titled", "status": "completed"}):
            outcome = PROTOCOL.absorb(offered, lookups)
            counts[isinstance(outcome, Absorbed)] += 1
            if isinstance(outcome, Absorbed):
                assert same(PROTOCOL.render(outcome.row, "", lookups, outcome.residual), offered)
            assert isinstance(TREATMENT.absorb(offered, lookups), NotClaimed)
    assert counts[True] >= counts[False]

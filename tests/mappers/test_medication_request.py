"""MedicationRequest and MedicationDispense ⇄ patient_prescriptions (mapping.md MedicationRequest)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from fhir_server.validation.validate import resource_issues
from mappers import systems
from mappers.json_values import same
from mappers.lens import Absorbed, NotClaimed
from mappers.lookups import Home, Lookups, Treatment
from mappers.medication_dispense import DISPENSE
from mappers.medication_request import PRESCRIPTION
from mappers.rows import PatientPrescription
from tests.graph_samples import examples, needs_samples, sample_rows, synthea

JANE, MARCUS = "46416154-6565-532d-9584-05bbb662ff86", "79114e7f-4bcb-57fe-96f3-7e48389b59cc"
LOOKUPS = Lookups(
    organization_id="loop-health",
    homes={
        f"Patient/{JANE}": Home("customer_profiles", JANE),
        f"Patient/{MARCUS}": Home("customer_profiles", MARCUS),
        "CarePlan/thyroid": Home("subscriptions", "thyroid"),
        "CarePlan/stack": Home("protocols", "stack"),
    },
    treatments={"thyroid": Treatment(JANE, "dr_smith_123")},
    clinicians={"dr_smith_123": "Dr. Sarah Smith, MD"},
)
ROW = PatientPrescription(
    id="9c389c6a-108a-5272-9fe0-217ec6a6a055",
    organization_id="loop-health",
    customer_id=JANE,
    treatment_id="thyroid",
    rimo_order_id="rimo_order_50001",
    medication_name="Levothyroxine",
    dosage="112mcg",
    status="delivered",
    quantity="1 vial (10 mL)",
    refills="5",
    prescribed_date=datetime(2026, 3, 17, 16, 5, tzinfo=UTC),
    next_refill_date=datetime(2026, 4, 17, tzinfo=UTC),
    pharmacy_id="pharm_rimo_1",
    pharmacy_name="Rimo Pharmacy",
    tracking_number="1Z999AA10123456784",
    shipped_at=datetime(2026, 3, 18, 15, tzinfo=UTC),
    delivered_at=datetime(2026, 3, 20, 21, 14, tzinfo=UTC),
)


def request(**changes: Any) -> dict[str, Any]:
    """A request that the table can hold."""
    written = {
        "resourceType": "MedicationRequest",
        "id": "rx-1",
        "identifier": [{"system": systems.RIMO_ORDER, "value": "rimo_order_1"}],
        "basedOn": [{"reference": "CarePlan/thyroid"}],
        "status": "active",
        "intent": "order",
        "medicationCodeableConcept": {"text": "Levothyroxine"},
        "subject": {"reference": f"Patient/{JANE}"},
        "dosageInstruction": [{"text": "112mcg"}],
    }
    return {key: value for key, value in {**written, **changes}.items() if value is not None}


def test_a_prescription_shows_every_element_of_the_table() -> None:
    assert PRESCRIPTION.render(ROW, "", LOOKUPS) == {
        "resourceType": "MedicationRequest",
        "id": ROW.id,
        "meta": {"profile": [f"{systems.US_CORE}us-core-medicationrequest"]},
        "identifier": [{"system": systems.RIMO_ORDER, "value": "rimo_order_50001"}],
        "basedOn": [{"reference": "CarePlan/thyroid"}],
        "status": "completed",
        "intent": "order",
        "medicationCodeableConcept": {
            "coding": [{"system": systems.RXNORM, "code": "10582", "display": "levothyroxine"}],
            "text": "Levothyroxine",
        },
        "subject": {"reference": f"Patient/{JANE}"},
        "authoredOn": "2026-03-17T16:05:00Z",
        "requester": {
            "reference": LOOKUPS.reference("Practitioner", "treatment_clinicians", "dr_smith_123"),
            "display": "Dr. Sarah Smith, MD",
        },
        "dosageInstruction": [
            {
                "text": "112mcg",
                "doseAndRate": [
                    {"doseQuantity": {"value": 112, "unit": "mcg", "system": systems.UCUM, "code": "ug"}},
                ],
            }
        ],
        "dispenseRequest": {
            "extension": [{"url": systems.NEXT_REFILL, "valueDateTime": "2026-04-17T00:00:00Z"}],
            "numberOfRepeatsAllowed": 5,
            "quantity": {"value": 1, "unit": "vial (10 mL)"},
            "performer": {
                "identifier": {"system": systems.PHARMACY, "value": "pharm_rimo_1"},
                "display": "Rimo Pharmacy",
            },
        },
    }


@pytest.mark.parametrize(
    ("row_status", "code", "exact"),
    [
        ("pending", "active", None),
        ("processing", "active", "processing"),
        ("transmitted", "active", "transmitted"),
        ("shipped", "active", "shipped"),
        ("delivered", "completed", None),
        ("failed", "stopped", None),
        ("cancelled", "cancelled", None),
    ],
)
def test_a_status_is_exact_only_where_the_code_does_not_say_it(row_status: str, code: str, exact: str | None) -> None:
    rendered = PRESCRIPTION.render(replace(ROW, status=row_status), "", LOOKUPS)
    extension = [{"url": systems.EXACT_STATUS, "valueCode": exact}] if exact else None
    assert (rendered["status"], rendered.get("_status", {}).get("extension")) == (code, extension)
    assert ("statusReason" in rendered) is (row_status == "failed")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"status": "draft"}, "status"),
        ({"intent": "proposal"}, "intent"),
        ({"doNotPerform": True}, "doNotPerform"),
        ({"identifier": None}, "identifier[order].value"),
        ({"identifier": [{"system": "https://other.example", "value": "1"}]}, "identifier[order].value"),
        ({"basedOn": None}, "basedOn[treatment]"),
        ({"basedOn": [{"reference": "CarePlan/stack"}]}, "no treatment"),
        ({"subject": {"reference": f"Patient/{MARCUS}"}}, "another customer"),
        ({"subject": {"reference": "Patient/nobody"}}, "customer_profiles"),
        ({"medicationCodeableConcept": None, "medicationReference": {"reference": "#m"}}, "medication"),
        ({"medicationCodeableConcept": {"coding": [{"code": "x"}]}}, "names no medication"),
        ({"dosageInstruction": None}, "dosage"),
        ({"dosageInstruction": [{"text": "a"}, {"patientInstruction": "b"}]}, "no dosage in words"),
    ],
)
def test_a_request_is_not_claimed_when_the_table_cannot_hold_it(changes: dict[str, Any], reason: str) -> None:
    outcome = PRESCRIPTION.absorb(request(**changes), LOOKUPS)
    assert isinstance(outcome, NotClaimed)
    assert reason in outcome.reason


def test_an_update_may_not_move_a_prescription_to_another_customer() -> None:
    moved = {**PRESCRIPTION.render(ROW, "", LOOKUPS), "subject": {"reference": f"Patient/{MARCUS}"}}
    assert isinstance(PRESCRIPTION.absorb(moved, LOOKUPS, ROW), NotClaimed)
    without_treatment = {key: value for key, value in moved.items() if key != "basedOn"}
    assert isinstance(PRESCRIPTION.absorb(without_treatment, LOOKUPS, ROW), NotClaimed)


def test_a_claimed_request_fills_the_row_and_is_rendered_as_it_was_written() -> None:
    written = request(
        authoredOn="2015-01-15",
        requester={"reference": "Practitioner/f007", "display": "Patrick Pump"},
        dosageInstruction=[
            {"sequence": 1, "text": "0.25mg for 4 weeks"},
            {"sequence": 2, "doseAndRate": [{"doseQuantity": {"value": Decimal("0.50"), "unit": "mg"}}]},
        ],
        dispenseRequest={
            "validityPeriod": {"start": "2015-01-15"},
            "numberOfRepeatsAllowed": 3,
            "quantity": {"value": Decimal("30.0"), "unit": "TAB", "system": "http://x.example", "code": "TAB"},
            "performer": {"reference": "Organization/f002", "display": "Pharmacy"},
        },
    )
    outcome = PRESCRIPTION.absorb(written, LOOKUPS)
    assert isinstance(outcome, Absorbed)
    row = outcome.row
    assert (row.customer_id, row.treatment_id, row.status) == (JANE, "thyroid", "pending")
    assert row.prescribed_date is None, "a partial date never fills a timestamp column (settled §1.3)"
    assert row.dosage == "0.25mg for 4 weeks; 0.50 mg"
    assert (row.quantity, row.refills) == ("30.0 TAB", 3)
    assert (row.pharmacy_id, row.pharmacy_name) == (None, "Pharmacy")
    assert same(PRESCRIPTION.render(row, "", LOOKUPS, outcome.residual), written)


def test_a_status_changed_behind_fhir_takes_the_written_reason_away() -> None:
    written = request(status="cancelled", statusReason={"text": "Patient moved"})
    outcome = PRESCRIPTION.absorb(written, LOOKUPS)
    assert isinstance(outcome, Absorbed)
    shown = PRESCRIPTION.render(replace(outcome.row, status="pending"), "", LOOKUPS, outcome.residual)
    assert shown["status"] == "active"
    assert "statusReason" not in shown


def test_a_blank_medication_name_is_shown_as_unknown() -> None:
    shown = PRESCRIPTION.render(replace(ROW, medication_name=" "), "", LOOKUPS)
    assert shown["medicationCodeableConcept"]["coding"][0]["code"] == "unknown"


# ---- MedicationDispense ----------------------------------------------------------------------------------------------


def test_only_a_prescription_that_left_the_pharmacy_is_a_dispense() -> None:
    unsent = replace(ROW, shipped_at=None, delivered_at=None)
    assert DISPENSE.parts(replace(unsent, status="transmitted")) == ()
    assert DISPENSE.parts(replace(unsent, status="shipped")) == ("",)
    assert DISPENSE.parts(replace(ROW, status="cancelled")) == ("",)


def test_a_shipment_shows_as_a_dispense_of_its_request() -> None:
    shown = DISPENSE.render(ROW, "", LOOKUPS)
    assert shown["status"] == "completed"
    assert shown["identifier"] == [{"system": systems.SHIPMENT, "value": "1Z999AA10123456784"}]
    assert shown["authorizingPrescription"] == [{"reference": f"MedicationRequest/{ROW.id}"}]
    assert (shown["whenPrepared"], shown["whenHandedOver"]) == ("2026-03-18T15:00:00Z", "2026-03-20T21:14:00Z")
    assert shown["performer"][0]["actor"]["display"] == "Rimo Pharmacy"


def test_a_shipment_after_the_delivery_is_left_out() -> None:
    """FHIR R4 invariant mdd-1: whenHandedOver cannot be before whenPrepared."""
    shown = DISPENSE.render(replace(ROW, shipped_at=datetime(2027, 1, 1, tzinfo=UTC)), "", LOOKUPS)
    assert "whenPrepared" not in shown


def test_a_dispense_is_read_only_and_names_the_endpoint() -> None:
    outcome = DISPENSE.absorb(DISPENSE.render(ROW, "", LOOKUPS), LOOKUPS, ROW)
    assert isinstance(outcome, NotClaimed)
    assert "/graph/prescriptions/{id}" in outcome.reason


# ---- sample data -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", sample_rows("patient_prescriptions"), ids=lambda row: row.rimo_order_id)
def test_every_sample_prescription_is_valid_and_comes_back(row: PatientPrescription) -> None:
    homes = {f"Patient/{row.customer_id}": Home("customer_profiles", row.customer_id)}
    homes[f"CarePlan/{row.treatment_id}"] = Home("subscriptions", row.treatment_id)
    lookups = replace(LOOKUPS, homes=homes, treatments={row.treatment_id: Treatment(row.customer_id, "np_jones_7")})
    shown = PRESCRIPTION.render(row, "", lookups)
    assert resource_issues(shown) == []
    assert PRESCRIPTION.absorb(shown, lookups, row) == Absorbed(row, PRESCRIPTION.absorb(shown, lookups, row).residual)
    assert [resource_issues(DISPENSE.render(row, part, lookups)) for part in DISPENSE.parts(row)] in ([], [[]])


def homes_of(resource: dict[str, Any]) -> Lookups:
    """Lookups in which the subject is Jane, and the treatment hers."""
    subject = resource["subject"].get("reference", "")
    return replace(LOOKUPS, homes={**LOOKUPS.homes, subject: Home("customer_profiles", JANE)})


def as_ours(resource: dict[str, Any]) -> dict[str, Any]:
    """The resource with what a partner adds to have it in our tables."""
    order = {"system": systems.RIMO_ORDER, "value": f"order of {resource['id']}"}
    return {
        **resource,
        "identifier": [*resource.get("identifier", []), order],
        "basedOn": [{"reference": "CarePlan/thyroid"}, *resource.get("basedOn", [])],
        "dosageInstruction": resource.get("dosageInstruction", [{"text": "as directed"}]),
    }


@needs_samples
def test_official_and_synthea_requests_are_native_as_they_are_and_unchanged_once_they_are_ours() -> None:
    offered = [*examples("MedicationRequest"), *synthea("MedicationRequest", 6)]
    assert all(isinstance(PRESCRIPTION.absorb(one, homes_of(one)), NotClaimed) for one in offered)
    claimed = 0
    for resource in map(as_ours, offered):
        lookups = homes_of(resource)
        outcome = PRESCRIPTION.absorb(resource, lookups)
        if isinstance(outcome, Absorbed):
            claimed += 1
            assert same(PRESCRIPTION.render(outcome.row, "", lookups, outcome.residual), resource)
    assert claimed > len(offered) // 2

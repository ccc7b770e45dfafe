"""The round trips of docs/round-trips.md, as data: which row of the sample data, and what is changed of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

GRAPH, CARE, HUB = "loop-health", "c2ewk6gzftooira8dz5g70a7u", "health-hub"
SYSTEMS: Final = {GRAPH: "patient graph", CARE: "care platform", HUB: "health hub"}

REMOVED: Final = object()
"""An element that the client leaves out."""


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """One row, its resource, and the change of a client.

    `columns` are those that the page shows of the row, or members of JSON columns; `unshown` the elements that it
    leaves out of the resource. `changes` go from a path like `name[0].family` to what is sent there. `why` says what
    is to be seen. `statement` is what another program sets afterwards, as SQL.
    """

    table: str
    key: str
    organization: str
    resource: str
    columns: tuple[str, ...]
    changes: Mapping[str, Any]
    why: str
    unshown: tuple[str, ...] = ()
    statement: str = ""
    clock: tuple[str, ...] = ()
    """Columns that the server's clock fills."""

    @property
    def resource_type(self) -> str:
        """The type of the resource."""
        return self.resource.partition("/")[0]


ROUND_TRIPS: Final = (
    RoundTrip(
        table="customer_profiles",
        key="46416154-6565-532d-9584-05bbb662ff86",
        organization=GRAPH,
        resource="Patient/46416154-6565-532d-9584-05bbb662ff86",
        columns=("external_id", "email", "first_name", "last_name", "date_of_birth", "biological_sex", "phone_number",
                 "timezone", "subscription_tier", "tags"),
        changes={
            "name[0].family": "Doe-Rivera",
            "name[0].prefix": ["Dr."],
            "telecom[1].value": "+1 212-555-0177",
            "birthDate": "1985-06",
            "maritalStatus": {"text": "Married"},
        },
        why="A family name and a telephone number have columns, a prefix and a marital status have none. A month is no"
        " day: the column of the date of birth does not say one that nobody knows.",
        statement="date_of_birth = '1985-06-16', phone_number = NULL",
    ),
    RoundTrip(
        table="lab_results",
        key="6689bf44-ff0c-52a9-8713-7da6655e7055",
        organization=GRAPH,
        resource="Observation/4e23b75e-e2e6-5cd5-aeb9-44880d9badb3",
        columns=("lab_date", "provider", "status", "biomarkers.tsh"),
        changes={
            "valueQuantity.value": Decimal("5.20"),
            "note": [{"text": "Repeated on the same specimen."}],
            "specimen": {"display": "Serum"},
        },
        why="One of six biomarkers in the row, each an Observation of its own. The digits of a value stay, and"
        " nothing of the other five changes.",
        unshown=("category",),
    ),
    RoundTrip(
        table="patient_prescriptions",
        key="9c389c6a-108a-5272-9fe0-217ec6a6a055",
        organization=GRAPH,
        resource="MedicationRequest/9c389c6a-108a-5272-9fe0-217ec6a6a055",
        columns=("treatment_id", "rimo_order_id", "medication_name", "dosage", "quantity", "refills", "prescribed_date",
                 "next_refill_date", "status", "pharmacy_id", "pharmacy_name"),
        changes={
            "dispenseRequest.numberOfRepeatsAllowed": 3,
            "dosageInstruction[0].doseAndRate[0].doseQuantity.value": 125,
            "dosageInstruction[0].text": "125mcg",
            "priority": "routine",
        },
        why="Words of a dosage and its amount say the same column. The requester is the clinician of the treatment; the"
        " shipment of the same row shows as a MedicationDispense.",
    ),
    RoundTrip(
        table="subscriptions",
        key="77dd5b54-8ee3-5895-ac3a-aad1ab1e4620",
        organization=GRAPH,
        resource="CarePlan/77dd5b54-8ee3-5895-ac3a-aad1ab1e4620",
        columns=("product_id", "product_name", "offering_name", "clinician_id", "clinician_name", "rimo_treatment_id",
                 "status", "started_at", "paused_at"),
        changes={
            "status": "on-hold",
            "activity[0].detail.status": "on-hold",
            "description": "Levothyroxine 125mcg",
            "text": REMOVED,
        },
        why="A client that changes a plan leaves out the narrative that was generated of it; there is one again when"
        " the columns say something else. When the treatment was paused no element says: the server's clock does.",
        unshown=("category",),
        clock=("paused_at",),
    ),
    RoundTrip(
        table="protocols",
        key="966e52b5-b73c-5886-bb95-b23a4b5a82c8",
        organization=GRAPH,
        resource="CarePlan/966e52b5-b73c-5886-bb95-b23a4b5a82c8",
        columns=("name", "status", "compounds", "start_date", "end_date", "notes", "created_by"),
        changes={
            "activity[1].detail.quantity.value": 2000,
            "note[0].text": "recheck TSH and vitamin D in 8 wk",
            "period.end": "2026-09-17",
            "text": REMOVED,
        },
        why="Each compound is an activity; a changed dose goes back into the words that the column had it in.",
        unshown=("category",),
    ),
    RoundTrip(
        table="patient_wearable_readings",
        key="f48909c7-ce83-52f4-a6b6-39e9efac4ec2",
        organization=GRAPH,
        resource="Observation/f48909c7-ce83-52f4-a6b6-39e9efac4ec2",
        columns=("data_type", "value", "unit", "device_id", "device_type", "source", "recorded_at"),
        changes={
            "valueQuantity.value": Decimal("101.40"),
            "effectiveDateTime": "2026-03-08T15:10:00+09:00",
        },
        why="The instant is the same in another zone: the column stays as it is, and the client reads its own"
        " zone back.",
        unshown=("category",),
        statement="value = '101.45'",
    ),
    RoundTrip(
        table="patients",
        key="cq2d48m0xrgby7vzssc13xrsj",
        organization=CARE,
        resource="Patient/cq2d48m0xrgby7vzssc13xrsj",
        columns=("medical_record_number", "first_name", "last_name", "date_of_birth", "gender", "email", "phone",
                 "address", "emergency_contact", "is_active"),
        changes={
            "name[0].given": ["Harold", "James"],
            "address[0]": {
                "use": "home",
                "text": "4 SE Division St, Portland, OR 97202",
                "line": ["4 SE Division St"],
                "city": "Portland",
                "state": "OR",
                "postalCode": "97202",
            },
            "contact[0].telecom[0].value": "503-555-0199",
        },
        why="The column of the address is one text: the parts of a written one stay beside it, until somebody changes"
        " the text. The second given name, for which there is no column, keeps its place after the first.",
        unshown=("managingOrganization",),
        statement="address = '1 Main St, Salem OR'",
    ),
    RoundTrip(
        table="observations",
        key="cgfusyrv7hml9lnqna50s19cr",
        organization=CARE,
        resource="Observation/cgfusyrv7hml9lnqna50s19cr",
        columns=("patient_id", "enrollment_id", "metric_id", "metric_organization_id", "value", "unit", "status",
                 "source_identifier", "recorded_at", "notes"),
        changes={
            "status": "corrected",
            "component[0].valueQuantity.value": Decimal("151.0"),
            "bodySite": {"text": "Left arm"},
            "note": [{"text": "cuff was loose"}],
        },
        why="A blood pressure is one row, whatever is changed of it; its metric, which says the code, is a row that all"
        " organizations share.",
        unshown=("category",),
        statement="""value = '{"systolic": 150, "diastolic": 84}'""",
    ),
    RoundTrip(
        table="patient_medications",
        key="co2g7yr0wux6674di5do3sxmj",
        organization=CARE,
        resource="MedicationRequest/co2g7yr0wux6674di5do3sxmj",
        columns=("drug_name", "dosage", "frequency", "route", "start_date", "end_date", "prescriber_id", "status",
                 "rx_norm_code", "notes"),
        changes={
            "status": "on-hold",
            "dosageInstruction[0].text": "10 mg BID",
            "dosageInstruction[0].timing": {
                "repeat": {"frequency": 2, "period": 1, "periodUnit": "d"},
                "code": {"text": "BID"},
            },
            "dosageInstruction[0].doseAndRate[0].doseQuantity.value": 10,
            "priority": "urgent",
        },
        why="Dose and frequency have a column each. The drug's name says another strength than the dose now: the server"
        " keeps what each says, and corrects neither.",
    ),
    RoundTrip(
        table="enrollments",
        key="c5j4bqr9w9iwztlp280ly9m2i",
        organization=CARE,
        resource="CarePlan/c5j4bqr9w9iwztlp280ly9m2i",
        columns=("patient_id", "clinician_id", "care_program_id", "status", "start_date", "end_date",
                 "billing_eligibility", "notes"),
        changes={
            "status": "completed",
            "period.end": "2026-01-31",
            "note": [{"text": "goal reached", "time": "2026-01-31T17:00:00Z"}],
            "text": REMOVED,
        },
        why="Title and goals are those of the care program, the team has the clinician; billing never shows.",
        unshown=("category",),
        statement="clinician_id = 'c501isa65guwmdf3ns1visenl'",
    ),
    RoundTrip(
        table="profiles",
        key="de451ebd-a592-5c92-a5bc-d57bd3cbb66a",
        organization=HUB,
        resource="Patient/de451ebd-a592-5c92-a5bc-d57bd3cbb66a",
        columns=("display_name", "legal_name", "dob", "relationship"),
        changes={
            "name[0]": {
                "use": "official",
                "text": "Laura Maria Bianchi",
                "family": "Bianchi",
                "given": ["Laura", "Maria"],
            },
            "gender": "female",
            "birthDate": "1974-08-19",
        },
        why="A legal name is one text: nobody guesses which part of it is the family name. A client that knows writes"
        " the parts, and reads them until the text is another one. A gender has no column here.",
        unshown=("managingOrganization",),
        statement="legal_name = 'Laura Bianchi-Rossi'",
    ),
)  # fmt: skip

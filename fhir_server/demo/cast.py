"""Who takes part in the demonstration: users and apps of the sample data, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PASSWORD: Final = "harbour-lantern-demo"  # noqa: S105 of made-up people on a loopback address
SAMPLE_PATIENT: Final = "46416154-6565-532d-9584-05bbb662ff86"
"""Jane Doe of `patient_graph.json`: profile, labs, wearables, a protocol, a treatment and a prescription."""
TREATMENT: Final = "rimo_1001"
"""Her approved treatment, as the pharmacy calls it."""
MOTHER: Final = "us-core-mara"
CHILD: Final = "us-core-elio"
"""Mara Lindqvist of `us_core.json`, who has visits, and her son, for whom she acts."""
DOCTOR: Final = "us-core-doctor"
"""The Practitioner of `us_core.json` who is the clinician."""

CARE_ORGANIZATION: Final = "c2ewk6gzftooira8dz5g70a7u"
"""The clinic of `care_platform.json` whose patients are looked at."""
HUB_ORGANIZATION: Final = "health-hub"


@dataclass(frozen=True, slots=True)
class DemoUser:
    """A person with a role; `patients` are the Patient resources that are theirs, `fhir_user` is what they are."""

    email: str
    role: str
    name: str
    patients: tuple[str, ...] = ()
    fhir_user: str | None = None


@dataclass(frozen=True, slots=True)
class DemoClient:
    """A registered app or service; `organization` None is the server's own, which has the patient graph.

    `redirects` and `launches` are addresses, or paths of the server itself. With `has_key` it proves itself by a key
    that the demonstration makes.
    """

    id: str
    type: str
    name: str
    scope: str
    redirects: tuple[str, ...] = ()
    launches: tuple[str, ...] = ()
    organization: str | None = None
    has_key: bool = False


CUSTOMER: Final = "jane@demo.example"
USERS: Final = (
    DemoUser("admin@demo.example", "ORG_ADMIN", "Demo Admin"),
    DemoUser("clinician@demo.example", "CLINICIAN", "Dr. Noor Achterberg", fhir_user=f"Practitioner/{DOCTOR}"),
    DemoUser(CUSTOMER, "PATIENT", "Jane Doe", (SAMPLE_PATIENT,), f"Patient/{SAMPLE_PATIENT}"),
    DemoUser("mara@demo.example", "PATIENT", "Mara Lindqvist", (MOTHER, CHILD), f"Patient/{MOTHER}"),
)
"""An administrator, a doctor, a patient, and a patient who acts for her child as well."""

EVERYTHING: Final = (
    "launch launch/patient launch/encounter openid fhirUser profile offline_access online_access"
    " patient/*.cruds user/*.cruds"
)
PUBLISHER: Final = "the makers of this server"
CLIENTS: Final = (
    DemoClient("demo-service", "backend", "Demo service", "system/*.cruds"),
    DemoClient("demo-care", "backend", "Demo care service", "system/*.cruds", organization=CARE_ORGANIZATION),
    DemoClient("demo-hub", "backend", "Demo hub service", "system/*.cruds", organization=HUB_ORGANIZATION),
    DemoClient("demo-backend", "backend", "Demo backend", "system/*.cruds", has_key=True),
    DemoClient("demo-portal", "confidential", "Demo portal", EVERYTHING, ("http://127.0.0.1:4567/callback",)),
    DemoClient("demo-app", "public", "Lab results", EVERYTHING, ("/demo-app/",), launches=("/demo-app/launch.html",)),
)
"""The sample app is last: when it is there, so is everything else."""

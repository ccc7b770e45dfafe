"""Who takes part in the demonstration: users and apps of the sample data, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PASSWORD: Final = "harbour-lantern-demo"  # noqa: S105 of made-up people on a loopback address
SAMPLE_PATIENT: Final = "46416154-6565-532d-9584-05bbb662ff86"
"""Jane Doe of `patient_graph.json`: profile, labs, wearables, a protocol, a treatment and a prescription."""


CARE_ORGANIZATION: Final = "c2ewk6gzftooira8dz5g70a7u"
"""The clinic of `care_platform.json` whose patients are looked at."""
HUB_ORGANIZATION: Final = "health-hub"


@dataclass(frozen=True, slots=True)
class DemoUser:
    """A person with a role; `patients` are the Patient resources that are theirs."""

    email: str
    role: str
    name: str
    patients: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DemoClient:
    """A registered app or service; `organization` None is the server's own, which has the patient graph."""

    id: str
    type: str
    name: str
    scope: str
    redirect_uris: tuple[str, ...] = ()
    organization: str | None = None


USERS: Final = (
    DemoUser("admin@demo.example", "ORG_ADMIN", "Demo Admin"),
    DemoUser("clinician@demo.example", "CLINICIAN", "Demo Clinician"),
    DemoUser("jane@demo.example", "PATIENT", "Jane Doe", (SAMPLE_PATIENT,)),
)
CLIENTS: Final = (
    DemoClient("demo-service", "backend", "Demo service", "system/*.cruds"),
    DemoClient("demo-care", "backend", "Demo care service", "system/*.cruds", organization=CARE_ORGANIZATION),
    DemoClient("demo-hub", "backend", "Demo hub service", "system/*.cruds", organization=HUB_ORGANIZATION),
    DemoClient("demo-app", "public", "Demo app", "launch/patient patient/*.rs", ("http://127.0.0.1:4567/callback",)),
)

"""Who takes part in the demonstration: users and apps of the sample data, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PASSWORD: Final = "harbour-lantern-demo"  # noqa: S105 of made-up people on a loopback address
SAMPLE_PATIENT: Final = "46416154-6565-532d-9584-05bbb662ff86"
"""Jane Doe of `patient_graph.json`: profile, labs, wearables, a protocol, a treatment and a prescription."""


@dataclass(frozen=True, slots=True)
class DemoUser:
    """A person with a role; `patients` are the Patient resources that are theirs."""

    email: str
    role: str
    name: str
    patients: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DemoClient:
    """A registered app or service."""

    id: str
    type: str
    name: str
    scope: str
    redirect_uris: tuple[str, ...] = ()


USERS: Final = (
    DemoUser("admin@demo.example", "ORG_ADMIN", "Demo Admin"),
    DemoUser("clinician@demo.example", "CLINICIAN", "Demo Clinician"),
    DemoUser("jane@demo.example", "PATIENT", "Jane Doe", (SAMPLE_PATIENT,)),
)
CLIENTS: Final = (
    DemoClient("demo-service", "backend", "Demo service", "system/*.cruds"),
    DemoClient("demo-app", "public", "Demo app", "launch/patient patient/*.rs", ("http://127.0.0.1:4567/callback",)),
)

"""What rows of the three systems show to a client of US Core (us_core.md §2, §11, settled §1.1)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from capability.profiles import find_profile
from capability.us_core import claimed_profiles
from fhir_server.demo.cast import CARE_ORGANIZATION
from tests.conftest import ORGANIZATION, OTHER_ORGANIZATION
from tests.docs.round_trips import load_samples
from tests.site import Site, running_site
from tests.us_core.definitions import errors
from tests.us_core.groups import FHIR, GROUPS, US_CORE
from tests.us_core.test_resources import inside

ORGANIZATIONS = (ORGANIZATION, CARE_ORGANIZATION, "c5e5pscsen1661oezgp1yibjo", OTHER_ORGANIZATION)
"""Those that have rows: the patient graph's, both clinics of the care platform, the health hub's."""
TYPES = sorted({group.type for group in GROUPS})
ABSENT = [{"url": f"{FHIR}data-absent-reason", "valueCode": "unknown"}]
Resources = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def rows(database_url: str) -> Iterator[Resources]:
    """Every resource that the demonstration's rows of all three systems show, by type, as clients read them."""
    load_samples(database_url)
    with running_site(database_url) as site:
        yield {resource_type: list(read(site, resource_type)) for resource_type in TYPES}


def read(site: Site, resource_type: str) -> Iterator[dict[str, Any]]:
    for organization in ORGANIZATIONS:
        answer = site.client(organization=organization).get(resource_type, params={"_count": "1000"})
        assert answer.status_code == 200
        entries = answer.json().get("entry", [])
        yield from (entry["resource"] for entry in entries if entry["search"]["mode"] == "match")


def profiles_of(resource: dict[str, Any]) -> list[str]:
    return resource.get("meta", {}).get("profile", [])


@pytest.mark.parametrize("resource_type", TYPES)
def test_uscore_8_rows_follow_every_profile_that_they_claim(rows: Resources, resource_type: str):
    for resource in rows[resource_type]:
        for url in profiles_of(resource):
            for version in ("7.0.0", "6.1.0") if url.startswith(US_CORE) else ("4.0.1",):
                profile = find_profile(f"{url}|{version}")
                assert profile is not None or version == "6.1.0"
                assert profile is None or errors(resource, profile) == []


@pytest.mark.parametrize("resource_type", TYPES)
def test_uscore_C4_every_profile_that_a_row_claims_is_told_in_metadata(rows: Resources, resource_type: str):
    assert {url for each in rows[resource_type] for url in profiles_of(each)} <= set(claimed_profiles(resource_type))


@pytest.mark.parametrize(
    ("resource_type", "claims"),
    [
        ("Patient", {"us-core-patient"}),
        ("CarePlan", {"us-core-careplan"}),
        ("CareTeam", {"us-core-careteam"}),
        ("Goal", {"us-core-goal"}),
        ("MedicationRequest", {"us-core-medicationrequest"}),
        ("Practitioner", {"us-core-practitioner"}),
        ("Organization", {"us-core-organization"}),
        (
            "Observation",
            {
                "us-core-observation-lab",
                "us-core-blood-pressure",
                "bp",
                "us-core-body-weight",
                "bodyweight",
                "us-core-heart-rate",
                "heartrate",
                "us-core-body-temperature",
                "bodytemp",
                "us-core-pulse-oximetry",
                "us-core-simple-observation",
                "us-core-observation-screening-assessment",
                "us-core-observation-clinical-result",
            },
        ),
    ],
)
def test_uscore_8_rows_claim_profiles(rows: Resources, resource_type: str, claims: set[str]):
    claimed = Counter(url.rpartition("/")[2] for each in rows[resource_type] for url in profiles_of(each))
    assert set(claimed) >= claims
    if resource_type != "Observation":
        assert set(claimed.values()) == {len(rows[resource_type])}


def test_uscore_M2_nothing_of_a_row_is_empty(rows: Resources):
    for resource in (each for listed in rows.values() for each in listed):
        for each in inside(resource):
            assert all(value not in ("", [], {}, None) for value in each.values())


def test_uscore_M3_a_row_says_why_what_profiles_want_is_not_there(rows: Resources):
    requests, reports = rows["MedicationRequest"], rows["DiagnosticReport"]
    assert all(("authoredOn" in each) != (each.get("_authoredOn") == {"extension": ABSENT}) for each in requests)
    assert all("requester" in each for each in requests)
    assert all(("issued" in each) != (each.get("_issued") == {"extension": ABSENT}) for each in reports)
    assert any("_issued" in each for each in reports)


def test_uscore_M7_every_patient_has_a_name_or_says_why_not_a_gender_and_an_identifier(rows: Resources):
    for patient in rows["Patient"]:
        assert patient["gender"] in {"male", "female", "other", "unknown"}
        assert all(each["system"] and each["value"] for each in patient["identifier"])
        for name in patient["name"]:
            told = {"family", "given", "_family"} & set(name)
            assert told or name == {"extension": ABSENT}


def test_uscore_M13_every_care_plan_has_a_narrative_and_its_category(rows: Resources):
    for plan in rows["CarePlan"]:
        assert plan["text"]["status"] == "generated"
        assert plan["text"]["div"].startswith('<div xmlns="http://www.w3.org/1999/xhtml">')
        codes = {coding["code"] for category in plan["category"] for coding in category["coding"]}
        assert "assess-plan" in codes


def test_uscore_M14_every_row_has_a_version_and_an_instant(rows: Resources):
    assert all({"versionId", "lastUpdated"} <= set(each["meta"]) for listed in rows.values() for each in listed)

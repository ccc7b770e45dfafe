"""API document, 'Patient Onboarding': a profile after the sign-up, its identities, and the Patient of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx

from tests.graph.answers import data_of
from tests.graph.kit import GraphSite

Shows = Callable[..., list[dict[str, Any]]]


def test_somebody_who_signed_up_is_a_profile_and_a_patient(
    graph_site: GraphSite, staff: httpx.Client, emr: httpx.Client, shows: Shows
) -> None:
    new = graph_site.client("PATIENT", subject="user_new")
    sent = {"externalId": "user_new", "email": "new@example.com", "firstName": "Nia", "lastName": "New"}
    profile = data_of(new.post("/profiles", json=sent), 201)
    [patient] = shows("Patient", identifier="user_new")
    assert patient["name"][0]["family"] == "New"
    assert patient["name"][0]["given"] == ["Nia"]

    identity = {"customerId": profile["id"], "externalSystem": "clerk", "externalId": "user_new"}
    assert data_of(staff.post("/identity-mappings", json=identity), 201)["customerId"] == profile["id"]

    again = graph_site.client("PATIENT", subject="user_new")
    mine = data_of(again.patch(f"/profiles/{profile['id']}", json={"phoneNumber": "+12125551234"}))
    assert mine["phoneNumber"] == "+12125551234"
    shown = emr.get(f"/Patient/{patient['id']}").json()
    assert "+12125551234" in {each["value"] for each in shown["telecom"]}
    assert shown["meta"]["versionId"] != patient["meta"]["versionId"]


def test_nobody_signs_up_for_somebody_else(graph_site: GraphSite) -> None:
    new = graph_site.client("PATIENT", subject="user_other")
    told = new.post("/profiles", json={"externalId": "user_victim", "email": "victim@example.com"})
    assert (told.status_code, told.json()["error"]["code"]) == (403, "FORBIDDEN")


def test_what_an_emr_changes_of_a_patient_shows_in_the_profile(
    staff: httpx.Client, emr: httpx.Client, shows: Shows
) -> None:
    sent = {"externalId": "user_moved", "email": "moved@example.com", "lastName": "Before"}
    profile = data_of(staff.post("/profiles", json=sent), 201)
    [patient] = shows("Patient", identifier="user_moved")
    patient["name"] = [{"family": "After", "given": ["Mia"]}]
    patient["birthDate"] = "1985-06-15"
    changed = emr.put(f"/Patient/{patient['id']}", json=patient)
    assert changed.status_code == 200, changed.text
    found = data_of(staff.get(f"/profiles/{profile['id']}"))
    assert (found["firstName"], found["lastName"], found["dateOfBirth"]) == ("Mia", "After", "1985-06-15")

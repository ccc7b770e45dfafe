"""Which profiles observations of rows claim (us_core.md §8 and §11, settled §1.1)."""

from __future__ import annotations

from typing import Any

import pytest

from mappers import systems
from mappers.observation_profiles import observation_profiles

KILOGRAMS = {"value": 71, "unit": "kg", "system": systems.UCUM, "code": "kg"}
PRESSURE = {"value": 71, "unit": "mmHg", "system": systems.UCUM, "code": "mm[Hg]"}
PERCENT = {"value": 97, "unit": "%", "system": systems.UCUM, "code": "%"}
ABSENT = {"dataAbsentReason": {"coding": [{"system": systems.DATA_ABSENT_CODE, "code": "unknown"}]}}


def loinc(*codes: str) -> list[dict[str, str]]:
    return [{"system": systems.LOINC, "code": code} for code in codes]


def part(code: str, **value: Any) -> dict[str, Any]:
    return {"code": {"coding": loinc(code)}, **value}


def claimed(codes: tuple[str, ...], category: str | None, **shown: Any) -> list[str]:
    profiles = observation_profiles(loinc(*codes), category, shown)
    return [url.removeprefix(systems.US_CORE).removeprefix(systems.FHIR_PROFILE) for url in profiles]


@pytest.mark.parametrize(
    ("codes", "shown", "profiles"),
    [
        (("29463-7",), {"valueQuantity": KILOGRAMS}, ["us-core-body-weight", "bodyweight"]),
        (("29463-7",), ABSENT, ["us-core-body-weight", "bodyweight"]),
        (("29463-7",), {"valueQuantity": {**KILOGRAMS, "code": "[stone_av]"}}, ["us-core-vital-signs"]),
        (("29463-7",), {"valueQuantity": {"value": 71, "unit": "kg"}}, ["us-core-vital-signs"]),
        (("29463-7",), {"valueQuantity": {**KILOGRAMS, "system": "http://units.example"}}, ["us-core-vital-signs"]),
        (("29463-7",), {"valueString": "HI"}, ["us-core-vital-signs"]),
        (("29463-7",), {}, []),
        (("39156-5",), {"valueQuantity": {**KILOGRAMS, "code": "kg/m2"}}, ["us-core-bmi"]),
        (("59408-5", "2708-6"), {"valueQuantity": PERCENT}, ["us-core-pulse-oximetry"]),
        (("59408-5",), {"valueQuantity": PERCENT}, ["us-core-vital-signs"]),
        (("no-code",), {"valueQuantity": PERCENT}, ["us-core-vital-signs"]),
    ],
)
def test_uscore_8_a_vital_sign_claims_the_profile_that_it_follows(codes: Any, shown: Any, profiles: list[str]) -> None:
    assert claimed(codes, "vital-signs", **shown) == profiles


@pytest.mark.parametrize(
    ("parts", "profiles"),
    [
        ([part("8480-6", valueQuantity=PRESSURE), part("8462-4", valueQuantity=PRESSURE)], True),
        ([part("8480-6", valueQuantity=PRESSURE), part("8462-4", **ABSENT)], True),
        ([part("8480-6", valueQuantity=PRESSURE), part("8462-4", valueQuantity=KILOGRAMS)], False),
        ([part("8480-6", valueQuantity=PRESSURE)], False),
    ],
)
def test_uscore_8_a_blood_pressure_has_two_components_with_a_unit_or_a_reason(parts: Any, profiles: bool) -> None:
    expected = ["us-core-blood-pressure", "bp"] if profiles else ["us-core-vital-signs"]
    assert claimed(("85354-9",), "vital-signs", component=parts) == expected


def test_uscore_M8_a_component_that_says_nothing_follows_no_profile() -> None:
    assert claimed(("85354-9",), "vital-signs", component=[part("8480-6")]) == []


@pytest.mark.parametrize(
    ("category", "profile"),
    [
        ("laboratory", "us-core-observation-lab"),
        ("imaging", "us-core-observation-clinical-result"),
        ("exam", "us-core-observation-clinical-result"),
        ("procedure", "us-core-observation-clinical-result"),
        ("therapy", "us-core-observation-clinical-result"),
        ("activity", "us-core-simple-observation"),
        ("social-history", "us-core-simple-observation"),
        ("survey", "us-core-observation-screening-assessment"),
        ("behaviour-of-this-server", None),
        (None, None),
    ],
)
def test_uscore_8_what_is_no_vital_sign_claims_the_profile_of_its_category(category: Any, profile: Any) -> None:
    assert claimed(("29463-7",), category, valueQuantity=KILOGRAMS) == ([] if profile is None else [profile])

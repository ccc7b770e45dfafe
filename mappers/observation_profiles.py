"""Which profiles an observation of a row follows, by its code, category, value and unit (us_core.md §8, §11).

A vital sign claims the US Core profile of its code and the profile of R4 that US Core 3.1.1 asks for; one whose value,
unit or code does not fit claims what vital signs have in common.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from mappers import systems
from mappers.json_values import Json

PULSE_OXIMETRY: Final = "59408-5"
OXYGEN_SATURATION: Final = "2708-6"
"""The general code that US Core wants beside the code of pulse oximetry."""
VITAL_SIGNS: Final = "vital-signs"


@dataclass(frozen=True, slots=True)
class _Vital:
    """A profile of vital signs: the unit codes that it allows, and the codes of the components that it needs."""

    us_core: str
    units: tuple[str, ...]
    base: str = ""
    components: tuple[str, ...] = ()

    @property
    def claims(self) -> list[str]:
        base = [systems.FHIR_PROFILE + self.base] if self.base else []
        return [systems.US_CORE + self.us_core, *base]


_LENGTH: Final = ("cm", "[in_i]")
_VITALS: Final[Mapping[str, _Vital]] = {
    "85354-9": _Vital("us-core-blood-pressure", ("mm[Hg]",), "bp", ("8480-6", "8462-4")),
    "8867-4": _Vital("us-core-heart-rate", ("/min",), "heartrate"),
    "9279-1": _Vital("us-core-respiratory-rate", ("/min",), "resprate"),
    "8310-5": _Vital("us-core-body-temperature", ("Cel", "[degF]"), "bodytemp"),
    "8302-2": _Vital("us-core-body-height", _LENGTH, "bodyheight"),
    "29463-7": _Vital("us-core-body-weight", ("kg", "g", "[lb_av]"), "bodyweight"),
    "39156-5": _Vital("us-core-bmi", ("kg/m2",)),
    "9843-4": _Vital("us-core-head-circumference", _LENGTH),
    "8289-1": _Vital("head-occipital-frontal-circumference-percentile", ("%",)),
    "59576-9": _Vital("pediatric-bmi-for-age", ("%",)),
    "77606-2": _Vital("pediatric-weight-for-height", ("%",)),
    PULSE_OXIMETRY: _Vital("us-core-pulse-oximetry", ("%",)),
}
"""LOINC code → profile; of several codes of an observation the first one of this order counts."""
_OF_CATEGORY: Final[Mapping[str, str]] = {
    "laboratory": "us-core-observation-lab",
    "exam": "us-core-observation-clinical-result",
    "imaging": "us-core-observation-clinical-result",
    "procedure": "us-core-observation-clinical-result",
    "therapy": "us-core-observation-clinical-result",
    "activity": "us-core-simple-observation",
    "social-history": "us-core-simple-observation",
    "survey": "us-core-observation-screening-assessment",
    VITAL_SIGNS: "us-core-vital-signs",
}
"""Category of HL7 → profile of what has no profile of its code."""


def observation_profiles(codings: Iterable[Json], category: str | None, shown: Mapping[str, Json]) -> list[str]:
    """Return the profiles to claim; `shown` has the elements of the value, and `component`.

    Empty for a category that US Core has no profile for, and where nothing is said: neither a value nor why not.
    """
    if not all(map(_says, shown.get("component", ()))) or not (_says(shown) or shown.get("component")):
        return []
    codes = {coding["code"] for coding in codings if coding.get("system") == systems.LOINC}
    vital = next((each for code, each in _VITALS.items() if code in codes), None)
    if category == VITAL_SIGNS and vital is not None and _fits(vital, codes, shown):
        extra = shown.get("component") and not vital.components
        return vital.claims[:1] if extra else vital.claims  # R4 binds the units of every component
    general = _OF_CATEGORY.get(category or "")
    return [systems.US_CORE + general] if general else []


def _says(element: Mapping[str, Json]) -> bool:
    return any(name == "dataAbsentReason" or name.startswith("value") for name in element)


def _fits(vital: _Vital, codes: set[str], shown: Mapping[str, Json]) -> bool:
    if vital is _VITALS[PULSE_OXIMETRY] and OXYGEN_SATURATION not in codes:
        return False
    if not vital.components:
        return _measured(shown, vital.units)
    parts = shown.get("component", [])
    named = {code: part for part in parts for code in _loinc(part)}
    return all(code in named and _measured(named[code], vital.units) for code in vital.components)


def _loinc(component: Mapping[str, Json]) -> list[str]:
    codings = component.get("code", {}).get("coding", [])
    return [coding["code"] for coding in codings if coding.get("system") == systems.LOINC]


def _measured(element: Mapping[str, Json], units: tuple[str, ...]) -> bool:
    """Whether an element has an amount in one of the units, in words too, or says why it has none."""
    amount = element.get("valueQuantity")
    if amount is None:
        return "dataAbsentReason" in element and not any(name.startswith("value") for name in element)
    return amount.get("system") == systems.UCUM and amount.get("code") in units and "unit" in amount

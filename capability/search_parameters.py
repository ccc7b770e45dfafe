"""The search parameters of every resource type, as data (FHIR R4 search.html, searchparameter-registry.html).

The rows live in `data/search_parameters.json`, written by `scripts/generate_capability.py`: a new parameter is a row
there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from types import MappingProxyType
from typing import Any, Final

import msgspec

from capability.data_files import data_bytes, read_data


class SearchType(StrEnum):
    """Kinds of search parameter (valueset-search-param-type)."""

    TOKEN = "token"  # noqa: S105  a kind of parameter, no secret
    STRING = "string"
    DATE = "date"
    REFERENCE = "reference"
    QUANTITY = "quantity"
    NUMBER = "number"
    URI = "uri"
    COMPOSITE = "composite"
    SPECIAL = "special"


@dataclass(frozen=True, slots=True)
class Component:
    """One part of a composite parameter; `expression` is relative to an element the composite's own one yields.

    `code` names the plain parameter of the same type that the part is defined by.
    """

    code: str
    expression: str
    type: SearchType


@dataclass(frozen=True, slots=True)
class SearchParameter:
    """One search parameter of one resource type.

    `expression` is FHIRPath restricted to this type (common parameters start at `Resource`). `targets` are the
    permitted types of a reference, `*` for any. `bit` is the position, 0 to 61, in the mask that says which parameters
    have a value; it never changes once published. `exact` marks tokens that are compared letter by letter (identifiers,
    ids); other tokens are compared without regard to case. `url` is empty where no official definition exists. `custom`
    marks an operator's own parameter, whose bit may change with the others of its kind.
    """

    resource_type: str
    code: str
    type: SearchType
    expression: str
    targets: tuple[str, ...]
    components: tuple[Component, ...]
    url: str
    bit: int
    exact: bool
    custom: bool = False

    def __hash__(self) -> int:
        """Return the hash of type and code, which name a parameter: criteria are hashed many times in a search."""
        return hash((self.resource_type, self.code))

    def permits(self, resource_type: str) -> bool:
        """Say whether a reference parameter may point at this type."""
        return "*" in self.targets or resource_type in self.targets


COMMON: Final[tuple[str, ...]] = ("_id", "_lastUpdated", "_tag", "_profile", "_security", "_source")
"""Codes that every type has, at bits 0 to 5 (search.html#all)."""

CLINICAL_DATE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "AllergyIntolerance": "date",
        "CarePlan": "date",
        "CareTeam": "date",
        "ChargeItem": "occurrence",
        "Claim": "created",
        "ClaimResponse": "created",
        "ClinicalImpression": "date",
        "Composition": "date",
        "Condition": "onset-date",
        "Consent": "date",
        "DiagnosticReport": "date",
        "DocumentReference": "date",
        "Encounter": "date",
        "EpisodeOfCare": "date",
        "ExplanationOfBenefit": "created",
        "FamilyMemberHistory": "date",
        "Flag": "date",
        "Goal": "start-date",
        "ImagingStudy": "started",
        "Immunization": "date",
        "List": "date",
        "MedicationDispense": "whenhandedover",
        "MedicationRequest": "authoredon",
        "MedicationStatement": "effective",
        "Observation": "date",
        "Procedure": "date",
        "Provenance": "recorded",
        "QuestionnaireResponse": "authored",
        "RiskAssessment": "date",
        "ServiceRequest": "authored",
        "Specimen": "collected",
        "SupplyRequest": "date",
    }
)
"""Per type the date parameter whose value orders a patient's record; its element never repeats.

Patient has none: a birth date is asked for among all patients, which takes index rows.
"""

MAXIMUM_PER_TYPE: Final = 62
"""Parameters of one type: the bits of the presence mask."""

_ROWS: Final[dict[str, dict[str, dict[str, Any]]]] = read_data("search_parameters.json")
_custom: dict[str, dict[str, dict[str, Any]]] = {}


@cache
def search_parameters(resource_type: str) -> Mapping[str, SearchParameter]:
    """Return the parameters of a type by code, common ones included; empty for a name that is no resource type."""
    published, custom = _ROWS.get(resource_type, {}), _custom.get(resource_type, {})
    return MappingProxyType(
        {
            code: _parameter(resource_type, code, bit, row, custom=code in custom)
            for bit, (code, row) in enumerate([*published.items(), *custom.items()])
        }
    )


def add_search_parameters(rows: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> None:
    """Make these rows, as those of the data file, the custom parameters of this process: type → code → row.

    Only before parameters are used: what was derived from them is kept. Use `storage.projection.custom_parameters`,
    which checks them.
    """
    _custom.clear()
    _custom.update(
        {name: dict(sorted((code, dict(row)) for code, row in added.items())) for name, added in rows.items()}
    )
    search_parameters.cache_clear()


def find(resource_type: str, code: str) -> SearchParameter | None:
    """Return one parameter of a type; None when the type has none of this code."""
    return search_parameters(resource_type).get(code)


def definition_bytes() -> bytes:
    """Return all data that what is indexed depends on, for a fingerprint."""
    names = ("search_parameters", "elements", "bindings", "compartment_patient", "ucum")
    own = msgspec.json.encode(_custom, order="deterministic") if _custom else b""
    return b"".join(data_bytes(f"{name}.json") for name in names) + own


def _parameter(resource_type: str, code: str, bit: int, row: Mapping[str, Any], *, custom: bool) -> SearchParameter:
    return SearchParameter(
        resource_type=resource_type,
        code=code,
        type=SearchType(row["type"]),
        expression=row["expression"],
        targets=tuple(row.get("targets", ())),
        components=tuple(Component(c, e, SearchType(t)) for c, e, t in row.get("components", ())),
        url=row["url"],
        bit=bit,
        exact=row.get("exact", False),
        custom=custom,
    )

"""What a mapper must know beside the row, fetched in bulk by the caller (settled §1.3, §1.8)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from mappers.care_rows import SHARED, MetricDefinition
from mappers.identity import row_resource_id
from mappers.json_values import Json

REFERENCE: Final = "reference"
"""Need of the home of a literal reference; its value is the reference as written."""
TIME_ZONE: Final = "time_zone"
"""Need of a customer's IANA time zone; its value is the key of `customer_profiles`."""
CLINICIAN: Final = "clinician"
"""Need of a clinician's name; its value is the clinician's id."""
TREATMENT: Final = "treatment"
"""Need of a treatment's customer and clinician; its value is the key of `subscriptions`."""
MEMBER: Final = "member"
"""Need of a resource of the same transaction; its value is the reference as written."""
ROW: Final = "row"
"""Need of a row that no resource stands for, with what it leads to (`mappers.lens.Shows`); its value is `table/key`."""
METRIC: Final = "metric"
"""Need of a metric definition; its value is `metric_key`, its facts are the columns of one that has to be made."""
ORGANIZATION: Final = "organization"
"""The organization's own name and time zone, which every mapper is given."""
EMR_RECORDS: Final = "emr_records"
"""What providers of health records call the resources that clean records come from and refer to."""


@dataclass(frozen=True, slots=True)
class Need:
    """One fact to look up: its kind (a constant of this module) and its key."""

    kind: str
    value: str
    facts: Mapping[str, Json] = field(default_factory=dict, compare=False)
    """What else is known of what is needed; it does not tell needs apart."""


def metric_key(code_system: str, code: str, value_type: str) -> str:
    """Return what names a metric: one definition stands for a code with values of one type (settled §1.13)."""
    return f"{code_system}|{code}|{value_type}"


@dataclass(frozen=True, slots=True)
class Home:
    """The row that a reference's target lives in; `facts` are columns of it that a mapper asked for by its kind.

    Facts: of `customer_profiles` the `timezone`; of a wearable Device `source`, `device_type`, `device_id`.
    """

    table: str
    key: str
    part: str = ""
    facts: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Treatment:
    """What a prescription must know of its row of `subscriptions`."""

    customer_id: str
    clinician_id: str | None = None


@dataclass(frozen=True, slots=True)
class EmrRecord:
    """One row of `profile_fhir_resources_raw` by its names, and the keys of the clean records that were made of it."""

    provider: str
    resource_type: str
    resource_id: str
    clean: tuple[str, ...] = ()


class PersonLink(NamedTuple):
    """Another record of the same person: how it is linked (`mappers.links`), its table and key."""

    type: str
    table: str
    key: str


@dataclass(frozen=True, slots=True)
class Lookups:
    """Answers to needs. What is missing is treated as unknown: a reference without a home is native or absent."""

    organization_id: str = ""
    organization_name: str | None = None
    homes: Mapping[str, Home] = field(default_factory=dict)
    """Literal reference → home."""
    resource_ids: Mapping[tuple[str, str, str], str] = field(default_factory=dict)
    """(resource type, table, key) → id, only where the store chose another than `row_resource_id` (settled §1.6)."""
    clinicians: Mapping[str, str] = field(default_factory=dict)
    """Clinician id → name."""
    treatments: Mapping[str, Treatment] = field(default_factory=dict)
    """Key of `subscriptions` → its facts; filled for every treatment that a row or a written reference names."""
    time_zones: Mapping[str, str] = field(default_factory=dict)
    """Customer key → IANA time zone."""
    published: frozenset[str] = frozenset({"clerk_user_id"})
    """Identifier types that Patient.identifier shows (settled §1.11)."""
    links: Mapping[tuple[str, str], tuple[PersonLink, ...]] = field(default_factory=dict)
    """(table, key) of a person's record → the same person's other records in the organization (settled §1.12)."""
    members: Mapping[str, Json] = field(default_factory=dict)
    """Literal reference → resource written in the same transaction."""
    rows: Mapping[tuple[str, str, str], Any] = field(default_factory=dict)
    """(table, organization, key) → row that a rendering shows parts of (`mappers.lens.Shows`); see `row`.

    For a claim: also the rows of `patients`, `enrollments` and every table that the mapper shows, where a written
    reference leads to one.
    """
    metrics: Mapping[str, MetricDefinition] = field(default_factory=dict)
    """`metric_key` → metric definition, the organization's own before a shared one."""
    emr_records: Mapping[str, EmrRecord] = field(default_factory=dict)
    """Key of `profile_fhir_resources_raw` → what it is called; for the sources of clean records and what they name."""
    emr_ids: Mapping[tuple[str, str, str, str], str] = field(default_factory=dict)
    """(profile, provider, resource type, id at the provider) → key of `profile_fhir_resources_raw`."""
    base_url: str = ""
    """The server's own FHIR address, without a slash at the end: what begins with it names a resource here."""
    time_zone: str | None = None
    """The organization's IANA time zone, for those without one of their own (settled §2.3)."""

    def reference(self, resource_type: str, table: str, key: str) -> str:
        """Return the literal reference to a row's resource."""
        chosen = self.resource_ids.get((resource_type, table, key))
        return f"{resource_type}/{row_resource_id(table, key) if chosen is None else chosen}"

    def row(self, table: str, key: str | None, organization_id: str | None = None) -> Any | None:
        """Return a row that a `Shows` names, with its child rows; None when there is none.

        `organization_id` is what the referring row's `<ref>_organization_id` says; without it, the organization's own
        row is taken before a shared one.
        """
        if key is None:
            return None
        homes = (self.organization_id, SHARED) if organization_id is None else (organization_id,)
        return next((row for home in homes if (row := self.rows.get((table, home, key))) is not None), None)


NO_LOOKUPS: Final = Lookups()

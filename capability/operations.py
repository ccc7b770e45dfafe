"""The operations of this server as data: routes, `/metadata` and definitions follow (FHIR R4 operations.html)."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Level(StrEnum):
    """Where an operation is called: at the base, on a type, or on one resource."""

    SYSTEM = "system"
    TYPE = "type"
    INSTANCE = "instance"


ANY_TYPE: Final = "*"


@dataclass(frozen=True, slots=True)
class OperationParameter:
    """One parameter of an operation (operationdefinition.html).

    `type` is a FHIR type, "" for one that has parts. `search_type` is set for those that are written like search
    parameters. `use` is in or out; `maximum` is "1" or "*".
    """

    name: str
    type: str
    text: str
    minimum: int = 0
    maximum: str = "1"
    use: str = "in"
    search_type: str = ""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation. `types` are the resource types it belongs to, ANY_TYPE for all of them.

    `definition` is the canonical URL of its OperationDefinition; that of an operation of our own is relative to this
    server's base (`OperationDefinition/lineage`). `by_get` says whether GET calls it too: only what changes nothing and
    takes primitive parameters (operations.html#executing). `title`, `text` and `parameters` go into the definition.
    """

    name: str
    definition: str
    types: tuple[str, ...]
    levels: frozenset[Level]
    by_get: bool = True
    affects_state: bool = False
    title: str = ""
    text: str = ""
    parameters: tuple[OperationParameter, ...] = ()

    @property
    def definition_id(self) -> str:
        """The id under which this server shows the definition."""
        return self.definition.rpartition("/")[2]

    def canonical(self, base_url: str) -> str:
        """Return the canonical URL of the definition; `base_url` is this server's FHIR base without trailing slash."""
        return self.definition if ":" in self.definition else f"{base_url}/{self.definition}"

    def belongs(self, resource_type: str) -> bool:
        """Say whether the operation is one of this type's."""
        return ANY_TYPE in self.types or resource_type in self.types


_DEFINED: Final = (
    Operation(
        "everything",
        "http://hl7.org/fhir/OperationDefinition/Patient-everything",
        ("Patient",),
        frozenset({Level.INSTANCE}),
        title="The whole record of a patient",
        text="The Patient, what is in its compartment by type and date, and what these refer to in the directory.",
        parameters=(
            OperationParameter("start", "date", "Care dates begin here; what has no date is shown."),
            OperationParameter("end", "date", "Care dates end here."),
            OperationParameter("_since", "instant", "Only versions written at this time or later."),
            OperationParameter("_type", "code", "Only these resource types, separated by commas.", maximum="*"),
            OperationParameter("_count", "integer", "Resources on one page."),
            OperationParameter("_revinclude", "string", "Provenance:target alone; an extension of this server."),
            OperationParameter("return", "Bundle", "A searchset, page by page.", minimum=1, use="out"),
        ),
    ),
    Operation(
        "lastn",
        "http://hl7.org/fhir/OperationDefinition/Observation-lastn",
        ("Observation",),
        frozenset({Level.TYPE}),
        title="The newest Observations of each kind",
        text="Needs patient or subject, and code or category; takes the other search parameters of Observation as "
        "well. Observations are of one kind when they share a coding. What ties with the last one is shown.",
        parameters=(
            OperationParameter("max", "positiveInt", "How many of each kind: 1 where nothing is said."),
            OperationParameter("patient", "string", "Whose Observations.", search_type="reference"),
            OperationParameter("subject", "string", "Whose Observations.", search_type="reference"),
            OperationParameter("code", "string", "What was observed.", maximum="*", search_type="token"),
            OperationParameter("category", "string", "The kind of Observation.", maximum="*", search_type="token"),
            OperationParameter("return", "Bundle", "A searchset, kind by kind.", minimum=1, use="out"),
        ),
    ),
    Operation(
        "validate",
        "http://hl7.org/fhir/OperationDefinition/Resource-validate",
        (ANY_TYPE,),
        frozenset({Level.TYPE, Level.INSTANCE}),
        title="What is wrong with a resource",
        text="Checks the resource that is sent, as the body or in Parameters, or the one that the address names: R4, "
        "the profiles asked for and those it claims; with a mode also whether this server would do it. Nothing is "
        "stored.",
        parameters=(
            OperationParameter("resource", "Resource", "What is checked; without it the resource of the address."),
            OperationParameter("mode", "code", "create, update, delete or profile."),
            OperationParameter("profile", "uri", "A profile to check for, with or without version.", maximum="*"),
            OperationParameter("return", "OperationOutcome", "All that was found.", minimum=1, use="out"),
        ),
    ),
    Operation(
        "meta",
        "http://hl7.org/fhir/OperationDefinition/Resource-meta",
        (ANY_TYPE,),
        frozenset(Level),
        title="The labels of a resource, or those in use",
        text="Of a resource its meta; of a type, or of all, every profile, security label and tag that a resource "
        "has that the caller may search; refused as too costly where more than 10,000 resources would have to be read.",
        parameters=(OperationParameter("return", "Meta", "The labels.", minimum=1, use="out"),),
    ),
    *(
        Operation(
            f"meta-{verb}",
            f"http://hl7.org/fhir/OperationDefinition/Resource-meta-{verb}",
            (ANY_TYPE,),
            frozenset({Level.INSTANCE}),
            by_get=False,
            affects_state=True,
            title=title,
            text="Profiles are the same by their URL, security labels and tags by system and code. The resource keeps "
            "its version, ETag and lastUpdated: labels are about the record and not part of its content. If-Match is "
            "honoured. Needs the right to read and to update.",
            parameters=(
                OperationParameter("meta", "Meta", "Profiles, security labels and tags.", minimum=1),
                OperationParameter("return", "Meta", "What the resource has now.", minimum=1, use="out"),
            ),
        )
        for verb, title in (("add", "Add labels to a resource"), ("delete", "Take labels from a resource"))
    ),
    Operation(
        "lineage",
        "OperationDefinition/lineage",
        (ANY_TYPE,),
        frozenset({Level.INSTANCE}),
        title="Where each element of a resource comes from",
        text="An operation of this server. Of each leaf of the current version, what the server writes into meta "
        "aside: the row and columns that show it, or that no column has room for it, or that the mapper adds it. And "
        "the latest version in which it differed from the version before. Callers who see their own record only are "
        "not told the names of tables, columns and mappers.",
        parameters=(
            OperationParameter("resource", "uri", "The version that this is about.", minimum=1, use="out"),
            OperationParameter(
                "element",
                "",
                "One leaf, in parts: path (FHIRPath), source (column, residual, constant, native, unknown), table, "
                "row, column (several where several columns show it), mapper, version.",
                maximum="*",
                use="out",
            ),
        ),
    ),
)

OPERATIONS: Final[Mapping[str, Operation]] = MappingProxyType({each.name: each for each in _DEFINED})
"""Every operation by its name, without the `$`."""


def operations_at(level: Level, resource_type: str = "") -> tuple[Operation, ...]:
    """Return the operations that can be called at a level, for one type or, at the base, for none."""
    return tuple(
        each
        for each in OPERATIONS.values()
        if level in each.levels and (level is Level.SYSTEM or each.belongs(resource_type))
    )

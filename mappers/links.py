"""Patient.link: the records of one person in the three systems of an organization (mapping.md Patient, settled §1.12).

A Patient mapper takes `**LINK_SLOTS` among its slots and `*links(...)` among its fields. What is rendered comes from
`Lookups.links`; a link that a client writes stays in the residual.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from mappers.fields import Context, Field, derived
from mappers.json_values import ABSENT
from mappers.nodes import Node, Slot, Whole

SEE_ALSO: Final = "seealso"
"""The other record is about the same person and both stay in use (FHIR R4 valueset-link-type)."""
REPLACES: Final = "replaces"
"""The other record was merged into this one, which stands for both."""
REPLACED_BY: Final = "replaced-by"
"""This record was merged into the other one, which is to be used instead."""
LINK_TYPES: Final = (SEE_ALSO, REPLACES, REPLACED_BY)

_NAMES: Final[Mapping[str, str]] = {SEE_ALSO: "same", REPLACES: "replaces", REPLACED_BY: "replaced"}
_NOTES: Final[Mapping[str, str]] = {
    SEE_ALSO: "the same person's other records, known by exact identifiers (seealso)",
    REPLACES: "records that were merged into this one (replaces)",
    REPLACED_BY: "the record that this one was merged into (replaced-by)",
}

LINK_SLOTS: Final[Mapping[str, tuple[Slot, ...]]] = {
    "link": tuple(Slot(_NAMES[each], {"type": each}, many=True) for each in LINK_TYPES)
}
"""The slots of `link`."""


def links(table: str) -> tuple[Field, ...]:
    """Return the fields of a Patient mapper for rows of `table` that show the person's other records."""
    return tuple(_field(table, each) for each in LINK_TYPES)


def _field(table: str, link_type: str) -> Field:
    def show(values: tuple[Any, ...], context: Context) -> Node:
        nodes: dict[str, Node] = {}
        for kind, other, key in context.lookups.links.get((table, values[0]), ()):
            if kind == link_type:
                literal = context.lookups.reference("Patient", other, key)
                nodes[literal] = Whole({"other": {"reference": literal}, "type": link_type}, literal)
        return nodes or ABSENT

    return derived(("id",), f"link[{_NAMES[link_type]}]", show, note=_NOTES[link_type])

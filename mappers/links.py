"""Patient.link: the records of one person in the three systems of an organization (mapping.md Patient, settled §1.12).

A Patient mapper takes `**LINK_SLOTS` among its slots and `links(...)` among its fields. What is rendered comes from
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

LINK_SLOTS: Final[Mapping[str, tuple[Slot, ...]]] = {"link": (Slot("same", {"type": SEE_ALSO}, many=True),)}
"""The slots of `link`."""


def links(table: str) -> Field:
    """Return the field of a Patient mapper for rows of `table` that shows the person's other records."""

    def show(values: tuple[Any, ...], context: Context) -> Node:
        nodes: dict[str, Node] = {}
        for other, key in context.lookups.links.get((table, values[0]), ()):
            literal = context.lookups.reference("Patient", other, key)
            nodes[literal] = Whole({"other": {"reference": literal}, "type": SEE_ALSO}, literal)
        return nodes or ABSENT

    return derived(
        ("id",), "link[same]", show, note="the same person's other records, known by exact identifiers (seealso)"
    )

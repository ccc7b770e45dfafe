"""Organization ⇄ `organizations`: the tenants (mapping.md "Outside the four")."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from mappers import isos, systems
from mappers.fields import Context, Field, derived, field, profile
from mappers.isos import Iso
from mappers.json_values import ABSENT
from mappers.lens import ResourceMapper
from mappers.nodes import Node, Slot
from mappers.rows import Organization

TRUTH: Final = Iso(lambda value: value, lambda value: value)


CARE_PROVIDERS: Final = frozenset({"HOSPITAL", "CLINIC", "PRACTICE"})
"""Types of organizations that HL7 calls healthcare providers; the column is open text (settled §2.2)."""


def _identifier(system: str) -> Callable[[tuple[Any, ...], Context], Node]:
    def show(values: tuple[Any, ...], _: Context) -> Node:
        words = isos.fhir_text(values[0]) if values[0] is not None else ABSENT
        return {"system": system, "value": words} if words is not ABSENT else ABSENT

    return show


def _coding(values: tuple[Any, ...], _: Context) -> Node:
    known = {"system": systems.ORGANIZATION_TYPE, "code": "prov", "display": "Healthcare Provider"}
    return [known] if values[0] is not None and values[0].strip().upper() in CARE_PROVIDERS else ABSENT


def _address(values: tuple[Any, ...], _: Context) -> Node:
    words = isos.fhir_text(values[0]) if values[0] is not None else ABSENT
    return [{"text": words}] if words is not ABSENT else ABSENT


def _telecom(system: str, column: str) -> Field:
    def show(values: tuple[Any, ...], _: Context) -> Node:
        words = isos.fhir_text(values[0]) if values[0] is not None else ABSENT
        return {"system": system, "value": words} if words is not ABSENT else ABSENT

    return derived((column,), f"telecom[{system}]", show)


TENANT: Final = ResourceMapper(
    "Organization",
    table="organizations",
    name="organization",
    row_type=Organization,
    read_only=True,
    internal_endpoint="fhir-server organization",
    about="The organization that a patient's data belongs to.",
    slots={
        "identifier": (Slot("key"), Slot("domain")),
        "type": (Slot("kind"),),
        "telecom": (Slot("phone"), Slot("email"), Slot("url")),
    },
    fields=(
        profile(f"{systems.US_CORE}us-core-organization"),
        derived(("id",), "identifier[key]", _identifier(systems.ORGANIZATION)),
        derived(("domain",), "identifier[domain]", _identifier(systems.ORGANIZATION_DOMAIN)),
        field("is_active", "active", TRUTH),
        field("type", "type[kind].text"),
        derived(("type",), "type[kind].coding", _coding, note="prov of HOSPITAL, CLINIC, PRACTICE"),
        field("name", "name"),
        _telecom("phone", "phone"),
        _telecom("email", "email"),
        _telecom("url", "website"),
        derived(("address",), "address", _address),
    ),
)

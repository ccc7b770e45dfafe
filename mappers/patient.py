"""Patient ⇄ `customer_profiles` (mapping.md Patient, settled §1.11)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from mappers import isos, person, systems
from mappers.fields import Context, Field, constant, derived, enrich, field, lens, profile
from mappers.json_values import ABSENT, Absent, Json
from mappers.lens import ResourceMapper
from mappers.links import LINK_SLOTS, links
from mappers.nodes import Node, Slot, Whole
from mappers.rows import CustomerProfile, IdentityMapping

SEX: Final = isos.code_table({"male": "male", "female": "female", "other": "other"})
BIRTH_SEX: Final = {"male": "M", "female": "F"}
US_CORE_SEX: Final = {"male": "248153007", "female": "248152002"}
"""SNOMED CT codes that `us-core-sex` has for them."""


LOGIN: Final = Slot("login", {"system": systems.LOGIN})
PUBLISHED: Final = Slot("published", many=True)


def _other_identifiers(values: tuple[Any, ...], context: Context) -> Node:
    """Show the identity mappings of published types, each system and value once."""
    external_id, mappings = values
    seen = {(systems.LOGIN, external_id)}
    nodes: list[Node] = []
    for mapping in mappings:
        key = (systems.CUSTOMER + mapping.identifier_type, mapping.external_id)
        if mapping.identifier_type in context.lookups.published and key not in seen and _is_shown(mapping):
            seen.add(key)
            nodes.append(Whole({"system": key[0], "value": key[1]}, list(key)))
    return nodes or ABSENT


def _is_shown(mapping: IdentityMapping) -> bool:
    return isos.fhir_text(mapping.external_id) is not ABSENT


def _tag(tag: Json) -> Node:
    """Show one tag: as a code where it is one, else in words; what is no text stays internal."""
    if not isinstance(tag, str):
        return ABSENT
    if isos.is_code(tag):
        return {"system": systems.TAG, "code": tag}
    words = isos.fhir_text(tag)
    return words if isinstance(words, Absent) else {"system": systems.TAG, "display": words}


def _show_tags(values: tuple[Any, ...], _: Context) -> tuple[Node]:
    tags = values[0] if isinstance(values[0], list) else []
    nodes = [Whole(node, node) for node in map(_tag, tags) if node is not ABSENT]
    return (nodes or ABSENT,)


def _take_tags(found: tuple[Json, ...], context: Context) -> tuple[Any]:
    """Take the tags that were written, and keep those that FHIR never showed."""
    tags = [element.get("code", element.get("display")) for element in found[0]]
    current = context.view.tags if context.view is not None and isinstance(context.view.tags, list) else []
    hidden = [tag for tag in current if _tag(tag) is ABSENT]
    return ([*(tag for tag in tags if isinstance(tag, str)), *hidden],)


def _coded(codes: Mapping[str, str]) -> Callable[[tuple[Any, ...], Context], Node]:
    return lambda values, _: ABSENT if values[0] is None else codes.get(values[0], ABSENT)


def _unknown_gender(values: tuple[Any, ...], _: Context) -> Node:
    """US Core wants a gender: `unknown` where the column has none (us_core.md M7)."""
    return "unknown" if values[0] is None else ABSENT


def _sex() -> Field:
    """Gender both ways; a gender that is no biological sex (`unknown`) leaves the column NULL."""

    def take(found: tuple[Json, ...], _: Context) -> tuple[str | None]:
        return (None if found[0] == "unknown" else SEX.backwards(found[0]),)

    def show(values: tuple[Any, ...], _: Context) -> tuple[Node]:
        return (ABSENT if values[0] is None else SEX.forwards(values[0]),)

    return lens(("biological_sex",), ("gender",), show, take, note=f"{SEX.note}; unknown ⇄ NULL")


PATIENT: Final = ResourceMapper(
    "Patient",
    table="customer_profiles",
    name="customer_profile",
    row_type=CustomerProfile,
    internal_endpoint="/graph/profiles",
    about="Claimed with an identifier of the login provider and an e-mail address.",
    children=("identity_mappings",),
    shows=(person.TENANT_NAME,),
    home_system="graph",
    slots={
        "meta.tag": (
            Slot("tier", {"system": systems.SUBSCRIPTION_TIER}),
            Slot("tags", {"system": systems.TAG}, many=True),
        ),
        "extension": (
            Slot("birthsex", {"url": f"{systems.US_CORE}us-core-birthsex"}),
            Slot("sex", {"url": f"{systems.US_CORE}us-core-sex"}),
            Slot("timezone", {"url": systems.TIMEZONE}),
        ),
        "identifier": (LOGIN, PUBLISHED),
        "name": person.NAMES,
        "name.given": person.GIVEN,
        "telecom": person.TELECOMS,
        **LINK_SLOTS,
    },
    fields=(
        profile(f"{systems.US_CORE}us-core-patient"),
        field("subscription_tier", "meta.tag[tier].code", isos.code),
        lens(("tags",), ("meta.tag[tags]",), _show_tags, _take_tags, empty=([],), note="one tag each"),
        enrich(("biological_sex",), "extension[birthsex].valueCode", _coded(BIRTH_SEX), note="US Core birth sex"),
        enrich(("biological_sex",), "extension[sex].valueCode", _coded(US_CORE_SEX), note="US Core sex"),
        field("timezone", "extension[timezone].valueCode", isos.code, note="IANA time zone"),
        field("external_id", "identifier[login].value", needed=True, note="user id at the login provider"),
        derived(
            ("external_id", "identity_mappings"),
            "identifier[published]",
            _other_identifiers,
            note="identity_mappings of published types; the same system and value once",
        ),
        constant("active", True),
        field("last_name", "name[official].family"),
        field("first_name", "name[official].given[first]"),
        enrich(("first_name", "last_name"), "name[unknown].extension", person.unknown_name, note="data-absent-reason"),
        field("email", "telecom[email].value", needed=True),
        field("phone_number", "telecom[phone].value"),
        _sex(),
        enrich(("biological_sex",), "gender", _unknown_gender, note="unknown where the column is NULL"),
        field("date_of_birth", "birthDate", isos.day),
        derived(("organization_id",), "managingOrganization", person.managing_organization, note="the tenant"),
        *links("customer_profiles"),
    ),
)

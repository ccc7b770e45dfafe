"""Patient ⇄ `profiles`: somebody whose records a user of the health hub gathers (mapping.md Patient).

What a client writes changes names, date of birth and relationship. A new Patient never becomes a profile: a profile
belongs to a user, whom no resource names, and identifiers come from the connections to providers alone.
"""

from __future__ import annotations

from typing import Any, Final

from mappers import isos, person, systems
from mappers.errors import Refusal
from mappers.fields import Context, Field, constant, derived, enrich, field, lens, profile
from mappers.hub_rows import EmrConnection, Profile
from mappers.json_values import ABSENT, Absent, Json
from mappers.lens import ResourceMapper
from mappers.links import LINK_SLOTS, links
from mappers.nodes import Node, Slot, Whole

PROFILE_TABLE: Final = "profiles"
_NO_NAME: Final = person.NAMES[1]


def _unnamed_use(name: Json) -> bool:
    """Whether a name that does not say what it is for may be the legal one."""
    return isinstance(name, dict) and "use" not in name


def _name(column: str, use: str, *, needed: bool = False) -> Field:
    """Return a name kept in words; parts that a client writes are a matter of the residual, until the words change.

    US Core wants parts, or the reason why there are none (us_core.md M7).
    """

    def show(values: tuple[Any, ...], context: Context) -> tuple[Node]:
        words = isos.fhir_text(values[0]) if values[0] is not None else ABSENT
        if words is ABSENT:
            return (ABSENT,)
        shown = {"use": use, "text": words}
        if not context.bare:
            shown["_family"] = {"extension": [systems.data_absent()]}
        return (Whole(shown, values[0]),)

    def take(found: tuple[Json, ...], context: Context) -> tuple[str | None]:
        current: str | None = getattr(context.view, column, None)
        words = person.name_words(found[0])
        if words is None and needed:
            return (current,)
        if words is None:
            raise Refusal("has no words")
        kept = current is not None and isos.fhir_text(current) == words
        return (current if kept else words,)

    return lens((column,), (f"name[{use}]",), show, take, needed=needed, note="in words")


def _relationship(values: tuple[Any, ...], _: Context) -> tuple[Node]:
    """Show who the person is to the user: as a code where it is one, else in words."""
    words = isos.fhir_text(values[0]) if values[0] is not None else ABSENT
    if isinstance(words, Absent):
        return (ABSENT,)
    member = "code" if isos.is_code(values[0]) else "display"
    return (Whole({"system": systems.RELATIONSHIP, member: words}, values[0]),)


def _take_relationship(found: tuple[Json, ...], _: Context) -> tuple[str]:
    words = found[0].get("code", found[0].get("display"))
    if not isinstance(words, str):
        raise Refusal("says no relationship")
    return (words,)


def _identifier(connection: EmrConnection) -> Node:
    words = isos.fhir_text(connection.patient_emr_id)
    if isinstance(words, Absent):
        return ABSENT
    system = systems.emr_record(connection.provider, "Patient")
    return Whole({"system": system, "value": words}, [system, words])


def _identifiers(values: tuple[Any, ...], _: Context) -> Node:
    """Show the id of each provider; a profile has at most one connection to it."""
    nodes = {connection.provider: _identifier(connection) for connection in values[0]}
    return {provider: node for provider, node in nodes.items() if node is not ABSENT} or ABSENT


def _key(values: tuple[Any, ...], _: Context) -> Node:
    """US Core wants an identifier: the row's key where nothing is connected (us_core.md M3)."""
    key, connections = values
    connected = any(_identifier(each) is not ABSENT for each in connections)
    words = isos.fhir_text(key)
    return ABSENT if connected or words is ABSENT else {"system": systems.PROFILE, "value": words}


def _unknown(_values: tuple[Any, ...], _context: Context) -> Node:
    return "unknown"


HUB_PATIENT: Final = ResourceMapper(
    "Patient",
    table=PROFILE_TABLE,
    name="hub_profile",
    row_type=Profile,
    creatable=False,
    internal_endpoint="/hub/profiles",
    about="Somebody whose records a user gathers; a profile belongs to a user, so none is made of a Patient.",
    children=("profile_emr_connections",),
    shows=(person.TENANT_NAME,),
    slots={
        "meta.tag": (Slot("relationship", {"system": systems.RELATIONSHIP}),),
        "identifier": (Slot("emr", many=True), Slot("key", {"system": systems.PROFILE})),
        "name": (
            Slot("official", {"use": "official"}, otherwise=_unnamed_use),
            Slot("usual", {"use": "usual"}),
            _NO_NAME,
        ),
        **LINK_SLOTS,
    },
    fields=(
        profile(f"{systems.US_CORE}us-core-patient"),
        lens(
            ("relationship",),
            ("meta.tag[relationship]",),
            _relationship,
            _take_relationship,
            note="who it is to the user",
        ),
        derived(
            ("profile_emr_connections",),
            "identifier[emr]",
            _identifiers,
            note="patient_emr_id of each connection; one system per provider",
        ),
        enrich(("id", "profile_emr_connections"), "identifier[key]", _key, note="the key, without a connection"),
        constant("active", True),
        _name("legal_name", "official"),
        _name("display_name", "usual", needed=True),
        enrich(
            ("legal_name", "display_name"), "name[unknown].extension", person.unknown_name, note="data-absent-reason"
        ),
        enrich((), "gender", _unknown, note="unknown: no column has it"),
        field("dob", "birthDate", isos.day),
        derived(("organization_id",), "managingOrganization", person.managing_organization, note="the tenant"),
        *links(PROFILE_TABLE),
    ),
)

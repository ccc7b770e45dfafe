"""What the Patient mappers of all systems share: how a person's name, contact points and tenant are shown and found."""

from __future__ import annotations

from typing import Any, Final

from mappers import isos, systems
from mappers.fields import Context
from mappers.json_values import ABSENT, Json
from mappers.lens import Shows
from mappers.lookups import ORGANIZATION
from mappers.nodes import Node, Slot, Whole


def _in_use(name: Json) -> bool:
    """Whether a name that is not called official may stand for the one in the columns."""
    return isinstance(name, dict) and name.get("use") in {None, "usual"}


def _reasoned(name: Json) -> bool:
    """Whether a name only says why there is none."""
    return isinstance(name, dict) and set(name) == {"extension"}


def reachable(telecom: Json) -> bool:
    """Whether a contact point is one that may still be used."""
    return isinstance(telecom, dict) and telecom.get("use") != "old"


NAMES: Final = (Slot("official", {"use": "official"}, otherwise=_in_use), Slot("unknown", accepts=_reasoned))
"""The slots of `name`: the one in the columns, and the reason why there is none."""
GIVEN: Final = (Slot("first"),)
"""The slots of `name.given`: further given names stay in the residual."""
TELECOMS: Final = (
    Slot("email", {"system": "email"}, accepts=reachable),
    Slot("phone", {"system": "phone"}, accepts=reachable),
)
"""The slots of `telecom`."""


def unknown_name(values: tuple[Any, ...], _: Context) -> Node:
    """Say that the name is unknown where no column has one: US Core wants that or a name (us_core.md M7)."""
    named = any(value is not None and isos.fhir_text(value) is not ABSENT for value in values)
    return ABSENT if named else [systems.data_absent()]


TENANT_NAME: Final = Shows("organization_id", "organizations", uses=("name",), by=ORGANIZATION)
"""What a mapper shows that names the tenant."""


def managing_organization(values: tuple[Any, ...], context: Context) -> Node:
    """Refer to the tenant that an `organization_id` names."""
    literal = context.lookups.reference("Organization", "organizations", values[0])
    name = context.lookups.organization_name
    return Whole({"reference": literal, "display": name} if name else {"reference": literal}, literal)


def name_words(name: Json) -> str | None:
    """Return a HumanName in words: its text, or its parts; None when it says nothing."""
    if not isinstance(name, dict):
        return None
    parts = [*name.get("prefix", []), *name.get("given", []), name.get("family"), *name.get("suffix", [])]
    return name.get("text") or " ".join(part for part in parts if part) or None


def address_words(address: Json) -> str | None:
    """Return an Address in words: its text, or its parts on one line; None when it says nothing."""
    if not isinstance(address, dict):
        return None
    place = " ".join(part for part in (address.get("state"), address.get("postalCode")) if part)
    parts = [*address.get("line", []), address.get("city"), place, address.get("country")]
    return address.get("text") or ", ".join(part for part in parts if part) or None

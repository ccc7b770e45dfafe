"""Patient.contact ⇄ `patients.emergency_contact` (mapping.md Patient).

The column is JSON: the members of CONTACT_KEYS that are texts are shown, everything else in it stays as it is.
"""

from __future__ import annotations

from typing import Any, Final

from mappers import isos, person, systems
from mappers.fields import Context, Field, lens
from mappers.json_values import ABSENT, Absent, Json
from mappers.nodes import Node, Slot, Whole

CONTACT_KEYS: Final = ("name", "relationship", "phone", "email")
"""Members of `emergency_contact` that are shown."""
ROLE: Final = {"coding": [{"system": systems.CONTACT_ROLE, "code": "C", "display": "Emergency Contact"}]}

_ROLE_CODES: Final = {"C", "EP"}


def _names_role(relationship: Json) -> bool:
    """Whether a relationship says that this is whom to call in an emergency (HL7 table 0131)."""
    return any(
        coding.get("system") == systems.CONTACT_ROLE and coding.get("code") in _ROLE_CODES
        for coding in relationship.get("coding", [])
    )


def _is_emergency(contact: Json) -> bool:
    return any(map(_names_role, contact.get("relationship", [])))


EMERGENCY: Final = Slot("emergency", accepts=_is_emergency)
"""The slot of the contact that the column holds: the one for emergencies. Others stay in the residual."""


def contact_words(value: Json) -> dict[str, str]:
    """Return what an `emergency_contact` says in words, by its keys."""
    known = value if isinstance(value, dict) else {}
    shown = {key: isos.fhir_text(known[key]) for key in CONTACT_KEYS if isinstance(known.get(key), str)}
    return {key: words for key, words in shown.items() if words is not ABSENT}


def _shown(value: Json) -> Node:
    """Return the contact; one without a name or a way to reach it is none (FHIR R4 pat-1)."""
    words = contact_words(value)
    if not words.keys() & {"name", "phone", "email"}:
        return ABSENT
    telecom = [{"system": system, "value": words[system]} for system in ("phone", "email") if system in words]
    contact = {
        "relationship": [ROLE, {"text": words["relationship"]}] if "relationship" in words else [ROLE],
        "name": {"text": words["name"]} if "name" in words else {},
        "telecom": telecom,
    }
    return Whole({key: item for key, item in contact.items() if item}, words)


def _relationship(contact: Json) -> str | None:
    """Return how the contact and the patient are related, in words: the first relationship that is not the role."""
    for each in contact.get("relationship", []):
        if not _names_role(each):
            displays = (coding.get("display") for coding in each.get("coding", []))
            said = each.get("text") or next(filter(None, displays), None)
            if said:
                return str(said)
    return None


def _telecom(contact: Json, system: str) -> str | None:
    listed = (each for each in contact.get("telecom", []) if each.get("system") == system and person.reachable(each))
    return next((each["value"] for each in listed if each.get("value")), None)


def _said(contact: Json | Absent) -> dict[str, str]:
    """Return what a written contact says, by the keys of the column."""
    if isinstance(contact, Absent):
        return {}
    found = {
        "name": person.name_words(contact.get("name")),
        "relationship": _relationship(contact),
        "phone": _telecom(contact, "phone"),
        "email": _telecom(contact, "email"),
    }
    return {key: words for key, words in found.items() if words and isos.fhir_text(words) is not ABSENT}


def emergency_contact() -> Field:
    """Return the field: known members both ways, the others of the column untouched."""

    def show(values: tuple[Any, ...], _: Context) -> tuple[Node]:
        return (_shown(values[0]),)

    def take(found: tuple[Json, ...], context: Context) -> tuple[Json]:
        current = None if context.view is None else context.view.emergency_contact
        if current is not None and not isinstance(current, dict):
            return (current,)
        hidden = {key: value for key, value in (current or {}).items() if key not in contact_words(current)}
        return ({**hidden, **_said(found[0])} or None,)

    return lens(
        ("emergency_contact",),
        ("contact[emergency]",),
        show,
        take,
        always=True,
        note="name, relationship, phone, email of the contact for emergencies; other members stay as they are",
    )

"""Patient ⇄ `patients` of the care platform (mapping.md Patient)."""

from __future__ import annotations

from datetime import UTC, datetime, time
from typing import Any, Final

from mappers import isos, person, systems
from mappers.care_practitioner import clinician_reference, clinician_shown
from mappers.care_rows import Enrollment, Patient
from mappers.emergency_contact import EMERGENCY, emergency_contact
from mappers.errors import Refusal
from mappers.fields import Context, Field, derived, enrich, field, lens, profile
from mappers.isos import Iso
from mappers.json_values import ABSENT, Json
from mappers.lens import ResourceMapper
from mappers.links import LINK_SLOTS, links
from mappers.nodes import Node, Slot, Whole

GENDER: Final = isos.code_table({"MALE": "male", "FEMALE": "female", "OTHER": "other", "UNKNOWN": "unknown"})
BIRTHDAY: Final = Iso(
    lambda value: value.astimezone(UTC).date().isoformat(),
    lambda value: datetime.combine(isos.column_date(value), time(), UTC),
    "midnight UTC of the day; a partial date is not claimed",
)
RECORD_NUMBER: Final = {
    "coding": [{"system": systems.IDENTIFIER_TYPE, "code": "MR", "display": "Medical record number"}]
}


def _is_record_number(identifier: Json) -> bool:
    """Whether an identifier is the record number of some organization of this server, and still in use."""
    system = identifier.get("system") if isinstance(identifier, dict) else None
    return isinstance(system, str) and system.startswith(systems.MEDICAL_RECORD) and identifier.get("use") != "old"


def _record_number() -> Field:
    """Show the record number in its organization's system; no other identifier fills the column."""

    def show(values: tuple[Any, ...], context: Context) -> tuple[Node]:
        words = ABSENT if values[0] is None else isos.fhir_text(values[0])
        if words is ABSENT:
            return (ABSENT,)
        system = systems.medical_record(context.view.organization_id)
        return ([Whole({"type": RECORD_NUMBER, "system": system, "value": words}, words)],)

    def take(found: tuple[Json, ...], context: Context) -> tuple[str]:
        own = systems.medical_record(context.lookups.organization_id)
        for identifier in found[0]:
            if identifier["system"] == own and isinstance(identifier.get("value"), str):
                return (identifier["value"],)
        raise Refusal("is no record number of the organization")

    return lens(
        ("medical_record_number",),
        ("identifier[record]",),
        show,
        take,
        note="type MR; one system per organization, any other identifier stays in the residual",
    )


def _key(values: tuple[Any, ...], _: Context) -> Node:
    """US Core wants an identifier: the row's key where there is no record number (us_core.md M3)."""
    key, number = values
    numbered = number is not None and isos.fhir_text(number) is not ABSENT
    words = isos.fhir_text(key)
    return ABSENT if numbered or words is ABSENT else {"system": systems.PATIENT, "value": words}


def _active() -> Field:
    """Show whether the record is in use; a patient whose writer does not say so stays as before, or starts active."""

    def take(found: tuple[Json, ...], context: Context) -> tuple[bool]:
        if found[0] is not ABSENT:
            return (found[0] is True,)
        return (True if context.view is None else context.view.is_active,)

    return lens(("is_active",), ("active",), lambda values, _: (values[0],), take, always=True)


def _unknown_gender(values: tuple[Any, ...], _: Context) -> Node:
    """US Core wants a gender: `unknown` where the column has none (us_core.md M7)."""
    return "unknown" if values[0] is None else ABSENT


def _lived_at(address: Json) -> bool:
    """Whether an address that is not called home may stand for the one in the column."""
    return isinstance(address, dict) and address.get("use") is None and _is_current(address)


def _is_current(address: Json) -> bool:
    return "end" not in address.get("period", {})


def _address() -> Field:
    """Show the address in words. A structured one fills the column with its parts on one line."""

    def show(values: tuple[Any, ...], _: Context) -> tuple[Node]:
        words = ABSENT if values[0] is None else isos.fhir_text(values[0])
        return (ABSENT if words is ABSENT else Whole({"use": "home", "text": words}, words),)

    def take(found: tuple[Json, ...], _: Context) -> tuple[str]:
        words = person.address_words(found[0])
        if words is None:
            raise Refusal("says nothing in words")
        return (words,)

    return lens(
        ("address",), ("address[home]",), show, take, note="as text; the parts of a written one stay in the residual"
    )


def _in_charge(values: tuple[Any, ...], context: Context) -> Node:
    """Refer to the clinicians of the active enrollments, the longest first."""
    enrollments: tuple[Enrollment, ...] = values[0]
    active = sorted(
        (each for each in enrollments if each.status == "ACTIVE"), key=lambda each: (each.start_date, each.id)
    )
    clinicians = dict.fromkeys(each.clinician_id for each in active)
    return {each: clinician_reference(each, context.lookups) for each in clinicians} or ABSENT


CARE_PATIENT: Final = ResourceMapper(
    "Patient",
    table="patients",
    name="patient",
    row_type=Patient,
    internal_endpoint="/care/patients",
    home_system="care",
    about="Claimed with a family name, a given name and a whole date of birth.",
    children=("enrollments",),
    shows=(clinician_shown(of="enrollments"), person.TENANT_NAME),
    slots={
        "extension": (Slot("timezone", {"url": systems.TIMEZONE}),),
        "identifier": (Slot("record", many=True, accepts=_is_record_number), Slot("key", {"system": systems.PATIENT})),
        "name": person.NAMES,
        "name.given": person.GIVEN,
        "telecom": person.TELECOMS,
        "address": (Slot("home", {"use": "home"}, accepts=_is_current, otherwise=_lived_at),),
        "contact": (EMERGENCY,),
        "generalPractitioner": (Slot("enrolled", many=True),),
        **LINK_SLOTS,
    },
    fields=(
        profile(f"{systems.US_CORE}us-core-patient"),
        field("timezone", "extension[timezone].valueCode", isos.code, note="IANA time zone"),
        _record_number(),
        enrich(("id", "medical_record_number"), "identifier[key]", _key, note="the key, without a record number"),
        _active(),
        field("last_name", "name[official].family", needed=True),
        field("first_name", "name[official].given[first]", needed=True),
        enrich(("first_name", "last_name"), "name[unknown].extension", person.unknown_name, note="data-absent-reason"),
        field("email", "telecom[email].value"),
        field("phone", "telecom[phone].value"),
        field("gender", "gender", GENDER),
        enrich(("gender",), "gender", _unknown_gender, note="unknown where the column is NULL"),
        field("date_of_birth", "birthDate", BIRTHDAY, needed=True),
        _address(),
        emergency_contact(),
        derived(
            ("enrollments",), "generalPractitioner[enrolled]", _in_charge, note="clinicians of the active enrollments"
        ),
        derived(("organization_id",), "managingOrganization", person.managing_organization, note="the tenant"),
        *links("patients"),
    ),
)

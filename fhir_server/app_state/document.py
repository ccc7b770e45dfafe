"""The Basic of a state: what may be sent, and what is answered (`smart.md` ST2, ST3).

Whatever cannot be stored back is refused: an app relies on getting what it sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

import msgspec

from fhir_server.errors import IdMismatch, Issue, MalformedBody, TypeMismatch, invalid_resource
from fhir_server.fhir.conditions import etag
from fhir_server.fhir.json_body import JsonLimits, encode_json, parse_json
from storage.app_states import AppState, StateKey
from storage.codec import instant

MAXIMUM_BYTES: Final = 256 * 2**10
"""The specification's limit for one state."""
LIMITS: Final = JsonLimits(depth=8, nodes=20_000)
SUBJECT_TYPES: Final = ("Patient", "Practitioner", "PractitionerRole", "RelatedPerson", "Person")
_SUBJECT: Final = re.compile(rf"({'|'.join(SUBJECT_TYPES)})/[A-Za-z0-9\-.]{{1,64}}")
_ELEMENTS: Final = frozenset({"resourceType", "code", "subject", "extension"})
_META: Final = frozenset({"versionId", "lastUpdated"})
_CODING: Final = frozenset({"system", "code", "display"})
_URL: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9+.\-]*:\S+")
_CODE: Final = re.compile(r"\S+( \S+)*")
_STRING: Final = re.compile(r"[^\x00-\x08\x0b\x0c\x0e-\x1f]+")
"""Texts of FHIR: no control characters but tab and ends of lines (datatypes.html#string)."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What an app sent: what the state is about, and its extensions as JSON."""

    key: StateKey
    extensions: str


def local_subject(reference: str, fhir_base: str) -> str | None:
    """Return `Type/id` of an absolute reference below the FHIR base; None for any other text."""
    local = reference.removeprefix(f"{fhir_base}/")
    return local if local != reference and _SUBJECT.fullmatch(local) else None


def read_state(data: bytes, fhir_base: str, state_id: str | None = None) -> Sent:
    """Return the state in a body: a new one, or with `state_id` the next version of that one.

    Raises what `parse_json` raises, TypeMismatch, IdMismatch, and InvalidResource with everything that is wrong.
    """
    resource = parse_json(data, LIMITS)
    if not isinstance(resource, dict):
        raise MalformedBody("Send a JSON object: a Basic.")
    if resource.get("resourceType") != "Basic":
        raise TypeMismatch("Basic", "Basic")
    if state_id is not None and resource.get("id") != state_id:
        raise IdMismatch("Basic.id")
    issues = list(_faults(resource, fhir_base, is_new=state_id is None))
    if issues:
        raise invalid_resource(issues)
    coding = resource["code"]["coding"][0]
    subject = resource.get("subject")
    whose = None if subject is None else local_subject(subject["reference"], fhir_base)
    key = StateKey(coding["system"], coding["code"], whose, coding.get("display"))
    return Sent(key, encode_json(resource.get("extension", [])).decode())


def _faults(resource: Mapping[str, Any], fhir_base: str, *, is_new: bool) -> Iterator[Issue]:
    known = _ELEMENTS if is_new else _ELEMENTS | {"id", "meta"}
    for name in resource:
        if name in {"id", "meta"} and is_new:
            yield Issue("structure", f"The server gives the {name} of a new state; leave it out.", f"Basic.{name}")
        elif name not in known:
            yield Issue("structure", "A state has code, subject and extension only; leave others out.", "Basic")
    if "meta" in resource and not is_new:
        yield from _faults_of_object(resource["meta"], _META, "Basic.meta")
    yield from _faults_of_code(resource.get("code"))
    if "subject" in resource:
        yield from _faults_of_subject(resource["subject"], fhir_base)
    if "extension" in resource:
        yield from _faults_of_extensions(resource["extension"])


def _faults_of_object(value: Any, members: frozenset[str], place: str) -> Iterator[Issue]:
    """Yield a fault unless a value is an object that has some of the members, each a text, and no other."""
    if not isinstance(value, dict) or not value or not value.keys() <= members:
        yield Issue("structure", f"Send an object with {', '.join(sorted(members))} and nothing else.", place)
    elif not all(isinstance(each, str) and _STRING.fullmatch(each) for each in value.values()):
        yield Issue("value", "Its values are texts that are not empty.", place)


def _faults_of_code(code: Any) -> Iterator[Issue]:
    codings = code.get("coding") if isinstance(code, dict) else None
    if not isinstance(code, dict) or code.keys() != {"coding"} or not isinstance(codings, list) or len(codings) != 1:
        yield Issue("structure", "The code of a state has exactly one coding, and no text.", "Basic.code")
        return
    found = list(_faults_of_object(codings[0], _CODING, "Basic.code.coding[0]"))
    yield from found
    if not found and not {"system", "code"} <= codings[0].keys():
        yield Issue("required", "The coding of a state has a system and a code.", "Basic.code.coding[0]")
    elif not found and not (_URL.fullmatch(codings[0]["system"]) and _CODE.fullmatch(codings[0]["code"])):
        yield Issue("value", "The system is an absolute address, the code has no outer spaces.", "Basic.code.coding[0]")


def _faults_of_subject(subject: Any, fhir_base: str) -> Iterator[Issue]:
    found = list(_faults_of_object(subject, frozenset({"reference"}), "Basic.subject"))
    yield from found
    if not found and local_subject(subject["reference"], fhir_base) is None:
        types = ", ".join(SUBJECT_TYPES)
        message = f"Refer to one of {types} by its whole address below the FHIR base of this server."
        yield Issue("value", message, "Basic.subject.reference")


def _faults_of_extensions(extensions: Any) -> Iterator[Issue]:
    if not isinstance(extensions, list) or not extensions:
        yield Issue("structure", "Send a list of extensions, or leave it out.", "Basic.extension")
        return
    for index, extension in enumerate(extensions):
        place = f"Basic.extension[{index}]"
        if not isinstance(extension, dict) or extension.keys() != {"url", "valueString"}:
            yield Issue("structure", "An extension of a state has a url and a valueString, and nothing else.", place)
        elif not all(isinstance(each, str) and _STRING.fullmatch(each) for each in extension.values()):
            yield Issue("value", "Both are texts that are not empty.", place)
        elif not _URL.fullmatch(extension["url"]):
            yield Issue("value", "The url of an extension is an absolute address.", place)


def basic(state: AppState, fhir_base: str) -> dict[str, Any]:
    """Return a state as it is answered (ST3)."""
    key = state.key
    coding = {"system": key.system, "code": key.code} | ({"display": key.display} if key.display else {})
    extensions = msgspec.json.decode(state.extensions)
    return {
        "resourceType": "Basic",
        "id": state.id,
        "meta": {"versionId": str(state.version), "lastUpdated": instant(state.updated_at)},
        **({"extension": extensions} if extensions else {}),
        "code": {"coding": [coding]},
        **({"subject": {"reference": f"{fhir_base}/{key.subject}"}} if key.subject else {}),
    }


def bundle(states: Sequence[AppState], key: StateKey, base: str, fhir_base: str) -> dict[str, Any]:
    """Return the answer to a query: every state of a coding and subject; `base` is where states are."""
    whose = {"subject": f"{fhir_base}/{key.subject}"} if key.subject else {"subject:missing": "true"}
    asked = urlencode({"code": f"{key.system}|{key.code}", **whose})
    entries = [
        {"fullUrl": f"{base}/Basic/{each.id}", "resource": basic(each, fhir_base), "search": {"mode": "match"}}
        for each in states
    ]
    return {
        "resourceType": "Bundle",
        "type": "searchset",
        "total": len(states),
        "link": [{"relation": "self", "url": f"{base}/Basic?{asked}"}],
        **({"entry": entries} if entries else {}),
    }


def headers_of(state: AppState) -> dict[str, str]:
    """Return the header that names a version."""
    return {"ETag": etag(state.version)}

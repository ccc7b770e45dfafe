"""Structure of resources: elements, types, cardinalities, forms of primitives (FHIR R4 json.html, datatypes.html).

The only module that knows fhirkit. Its messages quote values; ours never do, so each is told again in our words. To
put another checker in its place, give `structure_issues` from it: the tests say what it has to find.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Final

import fhirkit

from fhir_server.errors import MAX_ISSUES, Issue

_NOT_FROM_VALUES: Final = ("expected ", "null ", "an empty ", "has ")
"""Openings of messages that hold counts and JSON kinds but nothing of the resource."""
_WORDS: Final[tuple[tuple[re.Pattern[str], str, str], ...]] = (
    (re.compile(r"unknown element\Z"), "structure", "There is no such element here; remove it or correct its name."),
    (re.compile(r"required element missing\Z"), "required", "This element is mandatory; add it."),
    (re.compile(r"the key appears more"), "structure", "This element is given more than once; give it once."),
    (re.compile(r"only one type may be given"), "structure", "Only one type of this element may be given; keep one."),
    (re.compile(r"a resource needs a resourceType"), "structure", "A resource needs a resourceType."),
    (re.compile(r".*is not a FHIR R4 resource type"), "structure", "This is no resource type of FHIR R4."),
    (re.compile(r".* is outside the 32-bit range"), "value", "An integer has at most 32 bits."),
    (re.compile(r".* is not (?:a valid|a|an)(?: FHIR)? (\w+)", re.DOTALL), "value", "The value is no valid {0}."),
)
_FORMS: Final[Mapping[str, str]] = {
    "base64Binary": "base64 has groups of four of A-Z, a-z, 0-9, +, / and =",
    "canonical": "it is a uri without white space, perhaps with |version",
    "code": "it has no white space but single spaces between words",
    "date": "write YYYY, YYYY-MM or YYYY-MM-DD",
    "dateTime": "write a date, or date, time to the second and zone as in 2020-02-29T13:05:00+01:00",
    "decimal": "write a number",
    "id": "it has 1 to 64 of the characters A-Z, a-z, 0-9, '-' and '.'",
    "instant": "write date, time to the second and zone as in 2020-02-29T13:05:00+01:00",
    "integer": "write a whole number without fraction or exponent",
    "oid": "write urn:oid: and the identifier",
    "positiveInt": "write a whole number from 1",
    "time": "write hh:mm:ss",
    "unsignedInt": "write a whole number from 0",
    "uri": "it has no white space",
    "url": "it has no white space",
    "uuid": "write urn:uuid: and the identifier in lower case",
}
"""How primitives are written (datatypes.html#primitive)."""
_OTHER: Final = "This is not as the resource type demands."
_CONSEQUENCE: Final = "unknown element"
_SEGMENT: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_\-]{0,63}(?:\[(?:\d{1,9}|x)\])*\Z")


def structure_issues(data: bytes) -> list[Issue]:
    """Return the faults in the structure of a resource, in its JSON bytes; expressions have JSON names.

    All of them, or one more than MAX_ISSUES. `data` must be JSON that `parse_json` accepts.
    """
    try:
        found = fhirkit.validate(data)
    except fhirkit.ParseError:
        return [Issue("structure", _OTHER, "")]
    return list(islice(_told(found), MAX_ISSUES + 1)) if found else []


def _told(found: Iterable[fhirkit.Issue]) -> Iterable[Issue]:
    explained: set[str] = set()
    for issue in found:
        if issue.message == _CONSEQUENCE and _parent_explained(issue.path, explained):
            continue
        explained.add(issue.path)
        code, words = _in_our_words(issue.message)
        yield Issue(code, words, _without_oddities(issue.path), issue.severity)


def _parent_explained(path: str, explained: set[str]) -> bool:
    """Say whether the element is 'unknown' only because it came twice, or as a second type of a choice."""
    if path in explained:
        return True
    parent, _, name = path.rpartition(".")
    choices = (each.removesuffix("[x]").rpartition(".") for each in explained if each.endswith("[x]"))
    return any(owner == parent and name.startswith(prefix) for owner, _, prefix in choices)


def _in_our_words(message: str) -> tuple[str, str]:
    for pattern, code, words in _WORDS:
        match = pattern.match(message)
        if match:
            return code, words.format(*match.groups()) + _form(match)
    if message.startswith(_NOT_FROM_VALUES):
        return "structure", f"{message[0].upper()}{message[1:]}."
    return "structure", _OTHER


def _form(match: re.Match[str]) -> str:
    """Return how the type that a message names is written, after a space; "" where it names none."""
    form = _FORMS.get(match[1]) if match.re.groups else None
    return f" {form[0].upper()}{form[1:]}." if form else ""


def _without_oddities(path: str) -> str:
    """Return a path in which names that can be no element's are left out: they may hold anything."""
    return ".".join(name if _SEGMENT.match(name) else "?" for name in path.split("."))

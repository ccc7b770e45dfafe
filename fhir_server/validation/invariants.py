"""Invariants of R4 types as functions over one object of the type; their texts are data (`validation_rules.json`).

Each function says whether the rule holds. It meets only objects whose structure is right, so it looks up without
asking for types; a date that is none is another fault's business and breaks no rule here. Rules that need more than the
object itself (ref-1, dom-2 to dom-5, ele-1, txt-1, txt-2) are checked by `walk`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from capability.elements import element
from capability.validation_tables import INVARIANTS
from storage.search.values import Range, date_range

Object = Mapping[str, Any]
Holds = Callable[[Object], bool]

UCUM: Final = "http://unitsofmeasure.org"
_CONDITION_STATUS: Final = "http://terminology.hl7.org/CodeSystem/condition-clinical"
_CONDITION_VERIFICATION: Final = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
_ALLERGY_VERIFICATION: Final = "http://terminology.hl7.org/CodeSystem/allergyintolerance-verification"
_MEALS: Final = frozenset({"C", "CM", "CD", "CV"})
_UNKNOWN_ZONE: Final = 14 * 3600 * 1_000_000
"""How far, in microseconds, a local time may be from UTC."""


@dataclass(frozen=True, slots=True)
class Invariant:
    """A rule on each object of `type_name`; `key` and `text` are those of the specification."""

    type_name: str
    key: str
    text: str
    holds: Holds


# --- parts of rules ---------------------------------------------------------------------------------------------------


def _names(type_name: str, name: str) -> tuple[str, ...]:
    """Return the JSON keys that an element may have: of each type of a choice, and of their siblings with `_`.

    Raises LookupError for an element that the type does not have.
    """
    found = element(type_name, name)
    if found is None:
        raise LookupError(f"{type_name}.{name}")
    keys = [f"{name}{each[0].upper()}{each[1:]}" for each in found.datatypes] if found.choice else [name]
    return (*keys, *(f"_{key}" for key in keys))


def _any(type_name: str, *names: str) -> Holds:
    """One of the elements exists."""
    keys = frozenset(key for name in names for key in _names(type_name, name))
    return lambda value: not keys.isdisjoint(value)


def _none(type_name: str, *names: str) -> Holds:
    """None of the elements exists."""
    keys = frozenset(key for name in names for key in _names(type_name, name))
    return keys.isdisjoint


def _needs(type_name: str, name: str, *needed: str) -> Holds:
    """Where the element exists, one of the needed ones does."""
    absent, needed_any = _none(type_name, name), _any(type_name, *needed)
    return lambda value: absent(value) or needed_any(value)


def _excludes(type_name: str, name: str, *others: str) -> Holds:
    """Where the element exists, none of the others does."""
    absent, no_other = _none(type_name, name), _none(type_name, *others)
    return lambda value: absent(value) or no_other(value)


def _exactly_one(type_name: str, *names: str) -> Holds:
    """One of the elements exists, and the others do not."""
    tests = [_any(type_name, name) for name in names]
    return lambda value: sum(test(value) for test in tests) == 1


def _is_or_lacks(name: str, wanted: Iterable[Any], *rest: str) -> Holds:
    """The element has one of the wanted values, or none of the rest exists."""
    accepted, keys = tuple(wanted), frozenset(rest)
    return lambda value: value.get(name) in accepted or keys.isdisjoint(value)


def _has_coding(concept: Object, system: str, *codes: str) -> bool:
    return any(each.get("system") == system and each.get("code") in codes for each in concept.get("coding", ()))


def _range(text: str) -> Range | None:
    try:
        return date_range(text)
    except ValueError:
        return None


def _in_order(first: str | None, second: str | None) -> bool:
    """Say whether one moment is not certainly after another; values of less precision cover all they may be."""
    if first is None or second is None or (len(first) == len(second) and first[19:] == second[19:] and first <= second):
        return True
    early, late = _range(first), _range(second)
    if early is None or late is None:
        return True
    slack = _UNKNOWN_ZONE if ("T" in first) != ("T" in second) else 0
    return early[0] - slack < late[1]


# --- rules of some length ---------------------------------------------------------------------------------------------


def _has_no_entered_in_error(system: str) -> Holds:
    """The clinical status is absent where the verification status is entered-in-error."""
    return lambda value: (
        "clinicalStatus" not in value
        or not _has_coding(value.get("verificationStatus", {}), system, "entered-in-error")
    )


def _ait_1(value: Object) -> bool:
    return "clinicalStatus" in value or _has_coding(
        value.get("verificationStatus", {}), _ALLERGY_VERIFICATION, "entered-in-error"
    )


_NO_ABATEMENT: Final = _none("Condition", "abatement")


def _con_4(value: Object) -> bool:
    return _NO_ABATEMENT(value) or _has_coding(
        value.get("clinicalStatus", {}), _CONDITION_STATUS, "resolved", "remission", "inactive"
    )


_NO_VALUE: Final = _none("Observation", "value")


def _obs_7(value: Object) -> bool:
    if "component" not in value or _NO_VALUE(value):
        return True
    codings = value["code"].get("coding", ())
    return not any(coding in codings for each in value["component"] for coding in each["code"].get("coding", ()))


def _is_ucum(value: Object) -> bool:
    return bool(value.get("system", UCUM) == UCUM)


def _code_with_value(value: Object) -> bool:
    return "code" in value or "value" not in value


def _cnt_3(value: Object) -> bool:
    whole = "." not in str(value.get("value", ""))
    return _code_with_value(value) and _is_ucum(value) and value.get("code", "1") == "1" and whole


def _rng_2(value: Object) -> bool:
    low, high = value.get("low", {}), value.get("high", {})
    if "value" not in low or "value" not in high or low.get("code") != high.get("code"):
        return True  # amounts in different units have no order
    return bool(low["value"] <= high["value"])


def _rat_1(value: Object) -> bool:
    numerator, denominator = "numerator" in value, "denominator" in value
    return numerator == denominator and (numerator or "extension" in value)


def _trd_3(value: Object) -> bool:
    match value.get("type", ""):
        case "named-event":
            return "name" in value
        case "periodic":
            return not _NO_TIMING(value)
        case kind:
            return "data" in value or not kind.startswith("data-")


_NO_TIMING: Final = _none("TriggerDefinition", "timing")


def _tim_9(value: Object) -> bool:
    return "offset" not in value or ("when" in value and _MEALS.isdisjoint(value["when"]))


def _ctm_1(value: Object) -> bool:
    member = value.get("member", {}).get("reference", "")
    return "onBehalfOf" not in value or "/" not in member or member.split("/")[-2] == "Practitioner"


def _is_of_type(bundle: Object, resource_type: str) -> bool:
    first = bundle.get("entry", [{}])[0]
    return bool(first.get("resource", {}).get("resourceType") == resource_type)


def _entries_have(name: str, *kinds: str) -> Holds:
    """Every entry has the element in these kinds of Bundle, and none in others."""
    return lambda value: all((name in each) == (value.get("type") in kinds) for each in value.get("entry", ()))


def _bdl_7(value: Object) -> bool:
    if value.get("type") == "history":
        return True
    urls = [
        (each["fullUrl"], each.get("resource", {}).get("meta", {}).get("versionId"))
        for each in value.get("entry", ())
        if "fullUrl" in each
    ]
    return len(set(urls)) == len(urls)


def _bdl_9(value: Object) -> bool:
    identifier = value.get("identifier", {})
    return value.get("type") != "document" or ("system" in identifier and "value" in identifier)


def _not_home(name: str) -> Holds:
    return lambda value: all(each.get("use") != "home" for each in value.get(name, ()))


def _ppc(purpose: str) -> Holds:
    return lambda value: "patient" in value or not _has_coding(value.get("scope", {}), "something", purpose)


# --- the table --------------------------------------------------------------------------------------------------------

_RULES: Final[Mapping[str, Mapping[str, Holds]]] = {
    "Age": {"age-1": lambda v: _code_with_value(v) and _is_ucum(v) and v.get("value", 1) > 0},
    "AllergyIntolerance": {"ait-1": _ait_1, "ait-2": _has_no_entered_in_error(_ALLERGY_VERIFICATION)},
    "Attachment": {"att-1": _needs("Attachment", "data", "contentType")},
    "AuditEvent.entity": {"sev-1": _excludes("AuditEvent.entity", "name", "query")},
    "Bundle": {
        "bdl-1": _is_or_lacks("type", ("searchset", "history"), "total"),
        "bdl-2": lambda v: v.get("type") == "searchset" or all("search" not in each for each in v.get("entry", ())),
        "bdl-3": _entries_have("request", "batch", "transaction", "history"),
        "bdl-4": _entries_have("response", "batch-response", "transaction-response", "history"),
        "bdl-7": _bdl_7,
        "bdl-9": _bdl_9,
        "bdl-10": lambda v: v.get("type") != "document" or "timestamp" in v,
        "bdl-11": lambda v: v.get("type") != "document" or _is_of_type(v, "Composition"),
        "bdl-12": lambda v: v.get("type") != "message" or _is_of_type(v, "MessageHeader"),
    },
    "Bundle.entry": {
        "bdl-5": _any("Bundle.entry", "resource", "request", "response"),
        "bdl-8": lambda v: "/_history/" not in v.get("fullUrl", ""),
    },
    "CarePlan.activity": {"cpl-3": _excludes("CarePlan.activity", "detail", "reference")},
    "CareTeam.participant": {"ctm-1": _ctm_1},
    "Composition.section": {
        "cmp-1": _any("Composition.section", "text", "entry", "section"),
        "cmp-2": _excludes("Composition.section", "emptyReason", "entry"),
    },
    "Condition": {"con-4": _con_4, "con-5": _has_no_entered_in_error(_CONDITION_VERIFICATION)},
    "Condition.evidence": {"con-2": _any("Condition.evidence", "code", "detail")},
    "Condition.stage": {"con-1": _any("Condition.stage", "summary", "assessment")},
    "Consent": {
        "ppc-1": _any("Consent", "policy", "policyRule"),
        "ppc-2": _ppc("patient-privacy"),
        "ppc-3": _ppc("research"),
        "ppc-4": _ppc("adr"),
        "ppc-5": _ppc("treatment"),
    },
    "ContactPoint": {"cpt-2": _needs("ContactPoint", "value", "system")},
    "Count": {"cnt-3": _cnt_3},
    "DataRequirement.codeFilter": {"drq-1": _exactly_one("DataRequirement.codeFilter", "path", "searchParam")},
    "DataRequirement.dateFilter": {"drq-2": _exactly_one("DataRequirement.dateFilter", "path", "searchParam")},
    "Distance": {"dis-1": lambda v: _code_with_value(v) and _is_ucum(v)},
    "Duration": {"drt-1": lambda v: "code" not in v or (v.get("system") == UCUM and "value" in v)},
    "Expression": {"exp-1": _any("Expression", "expression", "reference")},
    "Extension": {"ext-1": _exactly_one("Extension", "extension", "value")},
    "Goal.target": {"gol-1": _needs("Goal.target", "detail", "measure")},
    "Group": {"grp-1": _is_or_lacks("actual", (True,), "member")},
    "Immunization.education": {"imm-1": _any("Immunization.education", "documentType", "reference")},
    "List": {
        "lst-1": _excludes("List", "emptyReason", "entry"),
        "lst-2": lambda v: v.get("mode") == "changes" or all("deleted" not in each for each in v.get("entry", ())),
        "lst-3": lambda v: v.get("mode") == "working" or all("date" not in each for each in v.get("entry", ())),
    },
    "MedicationAdministration.dosage": {"mad-1": _any("MedicationAdministration.dosage", "dose", "rate")},
    "MedicationDispense": {"mdd-1": lambda v: _in_order(v.get("whenPrepared"), v.get("whenHandedOver"))},
    "Observation": {"obs-6": _excludes("Observation", "dataAbsentReason", "value"), "obs-7": _obs_7},
    "Observation.referenceRange": {"obs-3": _any("Observation.referenceRange", "low", "high", "text")},
    "Organization": {"org-1": _any("Organization", "identifier", "name")},
    "Organization.address": {"org-2": _not_home("address")},
    "Organization.telecom": {"org-3": _not_home("telecom")},
    "Parameters.parameter": {"inv-1": _exactly_one("Parameters.parameter", "value", "resource", "part")},
    "Patient.contact": {"pat-1": _any("Patient.contact", "name", "telecom", "address", "organization")},
    "Period": {"per-1": lambda v: _in_order(v.get("start"), v.get("end"))},
    "Quantity": {"qty-3": _needs("Quantity", "code", "system")},
    "QuestionnaireResponse.item": {"qrs-1": _excludes("QuestionnaireResponse.item", "answer", "item")},
    "Range": {"rng-2": _rng_2},
    "Ratio": {"rat-1": _rat_1},
    "SearchParameter": {
        "spd-1": _needs("SearchParameter", "xpath", "xpathUsage"),
        "spd-2": _is_or_lacks("type", ("reference",), "chain"),
    },
    "ServiceRequest": {"prr-1": _needs("ServiceRequest", "orderDetail", "code")},
    "Task": {"inv-1": lambda v: _in_order(v.get("authoredOn"), v.get("lastModified"))},
    "Timing.repeat": {
        "tim-1": _needs("Timing.repeat", "duration", "durationUnit"),
        "tim-2": _needs("Timing.repeat", "period", "periodUnit"),
        "tim-4": lambda v: v.get("duration", 0) >= 0,
        "tim-5": lambda v: v.get("period", 0) >= 0,
        "tim-6": _needs("Timing.repeat", "periodMax", "period"),
        "tim-7": _needs("Timing.repeat", "durationMax", "duration"),
        "tim-8": _needs("Timing.repeat", "countMax", "count"),
        "tim-9": _tim_9,
        "tim-10": _excludes("Timing.repeat", "timeOfDay", "when"),
    },
    "TriggerDefinition": {
        "trd-1": _excludes("TriggerDefinition", "data", "timing"),
        "trd-2": _needs("TriggerDefinition", "condition", "data"),
        "trd-3": _trd_3,
    },
}
"""Element path and key of each rule to the function that checks it."""

_ON_THE_OWNER: Final = {"Organization.address": "Organization", "Organization.telecom": "Organization"}
"""Rules on an element that is a data type: they are checked where the element is known by name."""


def invariants_of(type_name: str) -> tuple[Invariant, ...]:
    """Return the rules on objects of a type (`Period`) or backbone element (`Patient.contact`)."""
    return tuple(
        Invariant(type_name, key, INVARIANTS[path][key], holds)
        for path, rules in _RULES.items()
        if _ON_THE_OWNER.get(path, path) == type_name
        for key, holds in rules.items()
    )


def checked() -> frozenset[tuple[str, str]]:
    """Return path and key of every rule of this module."""
    return frozenset((path, key) for path, rules in _RULES.items() for key in rules)

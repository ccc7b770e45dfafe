"""One walk over a resource for all that the structure check leaves: bindings, ids, days, references, rules.

What has to be looked at is compiled per type from the tables of `capability`, so that the walk only touches elements
that can be at fault. Places are kept as links and become text when something is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from capability import elements
from capability.bindings import Binding
from capability.validation_tables import BINDINGS, INVARIANTS, SIMPLE_QUANTITIES
from fhir_server.errors import MAX_ISSUES, Issue
from fhir_server.validation.invariants import Invariant, invariants_of
from fhir_server.validation.narrative import narrative_fault
from fhir_server.validation.places import Place, expression
from fhir_server.validation.references import MalformedReference, target_type
from storage.search.values import date_range

ID: Final = re.compile(r"[A-Za-z0-9\-.]{1,64}\Z")
DATES: Final = frozenset({"date", "dateTime", "instant"})
FEW: Final = 12
"""So many codes of a value set are listed in a diagnostic."""

Visit = Callable[[Any, Place, "Walk"], None]
"""Checks one value, which may have any JSON type, at its place."""


@dataclass(slots=True)
class Walk:
    """The state of a walk through one resource and what it contains.

    `rules` is off when the structure is at fault: rules are about objects whose structure is right.
    """

    root: dict[str, Any]
    rules: bool
    in_transaction: bool
    issues: list[Issue] = field(default_factory=list)
    is_contained: bool = False
    contained: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        resources = self.root.get("contained")
        self.contained = {
            str(each.get("id")): str(each.get("resourceType"))
            for each in (resources if isinstance(resources, list) else ())
            if isinstance(each, dict)
        }

    def add(self, code: str, diagnostics: str, place: Place) -> None:
        """Note a fault; nobody reads more of them than are listed in an answer."""
        if len(self.issues) <= MAX_ISSUES:
            self.issues.append(Issue(code, diagnostics, expression(place)))

    def broken(self, path: str, key: str, place: Place) -> None:
        """Note a broken rule, in the words of the specification."""
        self.add("invariant", f"{key}: {INVARIANTS[path][key]}", place)


class TypeTable:
    """What to check in objects of one type: per JSON key the visit of its values, then the rules of the type."""

    __slots__ = ("invariants", "may_have_id_only", "visits")

    def __init__(self, *, may_have_id_only: bool) -> None:
        self.may_have_id_only = may_have_id_only
        self.visits: dict[str, tuple[Visit, str, bool]] = {}
        self.invariants: tuple[Invariant, ...] = ()

    def visit(self, value: Any, place: Place, walk: Walk) -> None:
        """Check an object and all it holds."""
        if type(value) is not dict:
            return
        if not value:
            walk.add("structure", "An object must not be empty; leave it out.", place)
            return
        visits = self.visits
        for key, member in value.items():
            found = visits.get(key)
            if found is None:
                continue
            visit, name, repeats = found
            at = (place, name)
            if not repeats:
                visit(member, at, walk)
            elif type(member) is list:
                for index, each in enumerate(member):
                    visit(each, (at, index), walk)
        if walk.rules:
            if len(value) == 1 and "id" in value and not self.may_have_id_only:
                walk.broken("Element", "ele-1", place)
            for rule in self.invariants:
                if not rule.holds(value):
                    walk.add("invariant", f"{rule.key}: {rule.text}", place)


_tables: dict[str, TypeTable] = {}


def table_of(type_name: str) -> TypeTable:
    """Return what to check in a data type, backbone element or resource type; compiled at the first call.

    `Element` stands for the sibling of a primitive value. Types hold each other, so a table is known before it is full.
    """
    table = _tables.get(type_name)
    if table is None:
        table = _tables[type_name] = TypeTable(may_have_id_only=type_name == "Element")
        table.invariants = invariants_of(type_name)
        table.visits = {
            key: visit for name, kind in _elements_of(type_name) for key, visit in _compile(type_name, name, kind)
        }
        table.visits["fhir_comments"] = (_refuse_comments, "fhir_comments", False)
    return table


def _elements_of(type_name: str) -> Iterator[tuple[str, str]]:
    """Yield names and kinds of all elements of a type, as the data spells them, inherited ones too."""
    is_resource = type_name in _RESOURCES
    for owner in ("Resource", "DomainResource") if is_resource else ("Element",):
        yield from elements.elements_of(owner).items()
    if type_name != "Element":
        yield from elements.elements_of(type_name).items()


_RESOURCES: Final = frozenset(elements.RESOURCE_TYPES)


def _compile(type_name: str, name: str, kind: str) -> Iterator[tuple[str, tuple[Visit, str, bool]]]:
    """Yield the JSON keys of an element with what to do there; nothing where nothing can be at fault."""
    repeats = kind.endswith("*")
    bare = name.removesuffix("[x]")
    for datatype in kind.rstrip("*").split("|"):
        key = f"{bare}{datatype[0].upper()}{datatype[1:]}" if name.endswith("[x]") else bare
        visit = _visit_of(datatype, f"{type_name}.{bare}")
        if visit is not None:
            yield key, (visit, bare, repeats)
        if not elements.is_type(datatype):
            yield f"_{key}", (table_of("Element").visit, bare, repeats)


def _visit_of(datatype: str, path: str) -> Visit | None:
    """Return how to check a value of a data type at an element path; None when every value is right."""
    binding = BINDINGS.get(path)
    if binding is not None and datatype in _BOUND:
        return _BOUND[datatype](binding)
    if datatype == "Quantity" and path in SIMPLE_QUANTITIES:
        return _simple_quantity
    if datatype == "Reference":
        return _reference(elements.REFERENCE_TARGETS.get(path, ()))
    if datatype == "Resource":
        return _contained if path == "DomainResource.contained" or path.endswith(".contained") else _resource
    if datatype in DATES:
        return _day
    return _PRIMITIVES.get(datatype) or (table_of(datatype).visit if elements.is_type(datatype) else None)


# --- primitive values -------------------------------------------------------------------------------------------------


def _day(value: Any, place: Place, walk: Walk) -> None:
    """Check that a day is in the calendar; its form is structure, and days up to the 28th are in every month."""
    if type(value) is str and (value[8:10] > "28" or value.startswith("0000")):
        try:
            date_range(value)
        except ValueError:
            walk.add("value", "There is no such day; give one that is in the calendar.", place)


def _id(value: Any, place: Place, walk: Walk) -> None:
    if type(value) is str and value and not ID.match(value):
        walk.add("value", "An id has 1 to 64 of the characters A-Z, a-z, 0-9, '-' and '.'.", place)


def _xhtml(value: Any, place: Place, walk: Walk) -> None:
    fault = narrative_fault(value) if type(value) is str and value else None
    if fault:
        walk.add("invariant", f"txt-1: {fault}", place)


def _simple_quantity(value: Any, place: Place, walk: Walk) -> None:
    table_of("Quantity").visit(value, place, walk)
    if walk.rules and "comparator" in value:
        walk.add("invariant", "sqty-1: The comparator is not used on a SimpleQuantity; leave it out.", place)


def _refuse_comments(_: Any, place: Place, walk: Walk) -> None:
    walk.add("structure", "There is no such element in R4; remove it.", place)


_PRIMITIVES: Final[dict[str, Visit]] = {"id": _id, "xhtml": _xhtml}


# --- bindings ---------------------------------------------------------------------------------------------------------


def _remedy(binding: Binding) -> str:
    codes = sorted({code for each in binding.codes.values() for code in each})
    listed = f" ({', '.join(codes)})" if len(codes) <= FEW else ""
    return f"The code must be one of the required value set {binding.value_set}{listed}.".replace("  ", " ")


def _bound_code(binding: Binding) -> Visit:
    codes = frozenset(code for each in binding.codes.values() for code in each)
    remedy = _remedy(binding)

    def visit(value: Any, place: Place, walk: Walk) -> None:
        if type(value) is str and value not in codes:
            walk.add("code-invalid", remedy, place)

    return visit


def _bound_coding(binding: Binding) -> Visit:
    inner, remedy = table_of("Coding").visit, _remedy(binding)

    def visit(value: Any, place: Place, walk: Walk) -> None:
        inner(value, place, walk)
        if walk.rules and not binding.allows(value.get("code", ""), value.get("system", "")):
            walk.add("code-invalid", remedy, place)

    return visit


def _bound_concept(binding: Binding) -> Visit:
    """One of the codings has to be in the value set (terminologies.html#required)."""
    inner, remedy = table_of("CodeableConcept").visit, _remedy(binding)

    def visit(value: Any, place: Place, walk: Walk) -> None:
        inner(value, place, walk)
        if walk.rules and not any(
            binding.allows(each.get("code", ""), each.get("system", "")) for each in value.get("coding", ())
        ):
            walk.add("code-invalid", remedy, place)

    return visit


_BOUND: Final[dict[str, Callable[[Binding], Visit]]] = {
    "code": _bound_code,
    "Coding": _bound_coding,
    "CodeableConcept": _bound_concept,
}


# --- references -------------------------------------------------------------------------------------------------------


def _reference(permitted: tuple[str, ...]) -> Visit:
    """Check the form of a reference and that it leads to a permitted type; an empty list, or Resource, permits all."""
    targets = frozenset() if "Resource" in permitted else frozenset(permitted)
    inner = table_of("Reference").visit
    wrong_type = f"A reference here leads to one of: {', '.join(sorted(targets))}."

    def visit(value: Any, place: Place, walk: Walk) -> None:
        inner(value, place, walk)
        literal = value.get("reference") if type(value) is dict else None
        if type(literal) is not str or not literal:
            return
        if literal[0] == "#":
            found = _contained_type(literal[1:], place, walk)
        else:
            try:
                found = target_type(literal, conditional=walk.in_transaction)
            except MalformedReference as fault:
                walk.add("value", str(fault), (place, "reference"))
                return
        if found and targets and found not in targets:
            walk.add("value", wrong_type, (place, "reference"))

    return visit


def _contained_type(fragment: str, place: Place, walk: Walk) -> str:
    """Return the type of what a local reference leads to; an empty fragment leads to the container."""
    if not fragment and walk.is_contained:
        return str(walk.root.get("resourceType"))
    found = walk.contained.get(fragment, "")
    if not found:
        walk.broken("Reference", "ref-1", place)
    return found


# --- resources in resources -------------------------------------------------------------------------------------------


def _resource(value: Any, place: Place, walk: Walk) -> None:
    """Check a resource that stands for itself, such as that of a Bundle's entry."""
    if type(value) is dict:
        inner = Walk(value, walk.rules, walk.in_transaction, walk.issues)
        walk_resource(place, inner)


def _contained(value: Any, place: Place, walk: Walk) -> None:
    """Check a contained resource, whose local references lead to its siblings and its container."""
    resource_type = value.get("resourceType") if type(value) is dict else None
    if type(resource_type) is not str or resource_type not in _RESOURCES:
        return
    if "contained" in value:
        walk.broken("DomainResource", "dom-2", place)
        return
    walk.is_contained = True
    table_of(resource_type).visit(value, place, walk)
    walk.is_contained = False
    meta = value.get("meta")
    if type(meta) is dict:
        if "versionId" in meta or "lastUpdated" in meta:
            walk.broken("DomainResource", "dom-4", place)
        if "security" in meta:
            walk.broken("DomainResource", "dom-5", place)


def walk_resource(place: Place, walk: Walk) -> None:
    """Check the root of a walk and all it holds."""
    resource_type = walk.root.get("resourceType")
    if type(resource_type) is not str or resource_type not in _RESOURCES:
        return
    table_of(resource_type).visit(walk.root, place, walk)
    if walk.contained and walk.rules:
        _check_contained_are_used(place, walk)


def _check_contained_are_used(place: Place, walk: Walk) -> None:
    """Check dom-3: a contained resource is referred to, or refers to its container; canonicals and uris count too."""
    used = {text for text in _strings(walk.root) if text.startswith("#")}
    for index, each in enumerate(walk.root["contained"]):
        if f"#{each.get('id')}" not in used and "#" not in _strings(each):
            walk.broken("DomainResource", "dom-3", ((place, "contained"), index))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for member in value.values():
            yield from _strings(member)
    elif isinstance(value, list):
        for member in value:
            yield from _strings(member)

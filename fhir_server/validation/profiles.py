"""Validation against profiles (FHIR R4 profiling.html, elementdefinition.html; us_core §2).

What a profile says beyond R4: cardinalities, slices, data types and targets of references, fixed values and patterns,
bindings, constraints, and profiles of the values inside, such as definitions of extensions. R4 itself is checked by
`walk`; a resource that comes here has passed that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from capability.profiles import PROFILES, Constraint, ElementRule, Profile, TypeRule, errors_alone, find_profile
from fhir_server.errors import MAX_ISSUES, Issue
from fhir_server.fhir.json_body import encode_json
from fhir_server.validation.fhirpath import NotEvaluated, holds, resolved
from fhir_server.validation.instances import Item, equals, fits, items, root_item
from fhir_server.validation.places import Place, expression
from fhir_server.validation.slicing import Context, belongs
from fhir_server.validation.terminology import is_member

_BOUND: Final = frozenset({"code", "Coding", "CodeableConcept", "Quantity", "string", "uri"})
_EXTENSIONS: Final = ("extension", "modifierExtension")
MOST_VALUES: Final = 20_000
"""JSON values that the constraints of one resource may look at: some half a second of a core."""


def profile_issues(resource: dict[str, Any], profile: Profile, *, thorough: bool = True) -> list[Issue]:
    """Return what of a profile a resource does not follow; it must be valid R4.

    With `thorough` also what is no error: codes outside extensible and preferred value sets, broken constraints of
    severity warning, what could not be looked at.
    """
    check = _Check(resource, thorough)
    item = root_item(resource)
    if item.datatype != profile.type:
        words = f"The profile is one of {profile.type}; claim it for such resources only."
        check.add(profile, "structure", words, item.place)
        return check.issues
    check.whole(item, profile)
    check.extensions(item, profile)
    return check.issues


def extension_issues(resource: dict[str, Any]) -> list[Issue]:
    """Return what of the definitions of its known extensions a resource does not follow."""
    check = _Check(resource, thorough=True)
    check.extensions(root_item(resource), None)
    return check.issues


@dataclass(slots=True)
class _Check:
    """The state of checking one resource."""

    resource: dict[str, Any]
    thorough: bool
    issues: list[Issue] = field(default_factory=list)
    seen: set[Issue] = field(default_factory=set)
    checked: set[tuple[str, str]] = field(default_factory=set)
    looked_at: int = 0

    def add(self, profile: Profile, code: str, words: str, place: Place, severity: str = "error") -> None:
        """Note something; a slice repeats what its element says, so equal notes are one."""
        if severity != "error" and not self.thorough:
            return
        words = f"{words} (Profile {profile.canonical})"
        issue = Issue(code, words, expression(place), severity, profile.canonical)
        if issue not in self.seen and len(self.issues) <= MAX_ISSUES:
            self.seen.add(issue)
            self.issues.append(issue)

    def whole(self, item: Item, profile: Profile) -> None:
        """Check a resource, or an extension or other value, against a profile; once at each place."""
        mark = (profile.canonical, expression(item.place))
        if mark not in self.checked:
            self.checked.add(mark)
            root = profile.root if self.thorough else errors_alone(profile)
            self._constraints(item, root, profile)
            self._members(item, root, profile)

    def extensions(self, item: Item, like: Profile | None) -> None:
        """Check every extension inside whose definition is known."""
        if not _mentions_extensions(item.value):
            return
        for extension in _extensions(item):
            url = extension.value.get("url")
            profile = find_profile(url, like) if isinstance(url, str) and url in PROFILES else None
            if profile is not None and profile.type == "Extension":
                self.whole(extension, profile)

    def conforms(self, item: Item, canonical: str) -> bool:
        """Say whether a value follows a profile; one that is not known is followed."""
        profile = find_profile(canonical)
        if profile is None:
            return True
        check = _Check(self.resource, thorough=False)
        check.whole(item, profile)
        return not check.issues

    # --- elements -----------------------------------------------------------------------------------------------------

    def _members(self, item: Item, rule: ElementRule, profile: Profile) -> None:
        for child in rule.children:
            self._element(item, child, profile)

    def _element(self, owner: Item, rule: ElementRule, profile: Profile) -> None:
        """Check all occurrences of an element, together and one by one."""
        found = list(items(owner, rule.name))
        place = (owner.place, rule.name.removesuffix("[x]"))
        self._count(found, rule, profile, place)
        for item in found:
            self._item(item, rule, profile)
        if not rule.slices and not rule.closed:
            return
        groups: dict[str | None, list[Item]] = {each.slice_name: [] for each in rule.slices}
        for item in found:
            groups.setdefault(self._slice_of(item, rule, profile), []).append(item)
        for each in rule.slices:
            self._count(groups[each.slice_name], each, profile, place)
            for item in groups[each.slice_name]:
                self._item(item, each, profile)
        if rule.closed:
            for item in groups.get(None, ()):
                self.add(profile, "structure", f"Only {_names(rule)} may be here; remove this.", item.place)

    def _slice_of(self, item: Item, rule: ElementRule, profile: Profile) -> str | None:
        context = Context(profile, self.resource, self.conforms)
        belonging = (each for each in rule.slices if belongs(item, each, rule.discriminators, context))
        return next((each.slice_name for each in belonging), None)

    def _count(self, found: list[Item], rule: ElementRule, profile: Profile, place: Place) -> None:
        what = f"{rule.name} that is {rule.slice_name}" if rule.slice_name else rule.name
        if len(found) < rule.minimum:
            words = f"At least {rule.minimum} {what} must be here; {len(found)} found."
            self.add(profile, "required", words, place)
        elif rule.maximum is not None and len(found) > rule.maximum:
            self.add(profile, "structure", f"At most {rule.maximum} {what} may be here; {len(found)} found.", place)

    def _item(self, item: Item, rule: ElementRule, profile: Profile) -> None:
        if rule.types and not self._type(item, rule, profile):
            return
        if rule.fixed is not None and item.value is not None and not equals(rule.fixed, item.value):
            self.add(profile, "value", f"The value must be {_shown(rule.fixed)}.", item.place)
        if rule.pattern is not None and item.value is not None and not fits(rule.pattern, item.value):
            self.add(profile, "value", f"The value must have {_shown(rule.pattern)}.", item.place)
        if rule.binding is not None and item.value is not None and item.datatype in _BOUND:
            self._binding(item, rule, profile)
        self._constraints(item, rule, profile)
        self._members(item, rule, profile)

    # --- values -------------------------------------------------------------------------------------------------------

    def _type(self, item: Item, rule: ElementRule, profile: Profile) -> bool:
        """Check the data type and what it demands; say whether the type is one of those that are allowed."""
        found = [each for each in rule.types if each.code == item.datatype]
        if not found:
            if not rule.name.endswith("[x]"):
                return True
            names = ", ".join(each.code for each in rule.types)
            self.add(profile, "structure", f"The type of {rule.name} must be one of: {names}.", item.place)
            return False
        if item.datatype == "Reference":
            self._reference(item, found, profile)
        for each in found:
            for url in each.profiles:
                inner = find_profile(url, profile)
                if inner is not None:
                    self.whole(item, inner)
        return True

    def _reference(self, item: Item, rules: list[TypeRule], profile: Profile) -> None:
        permitted = frozenset().union(*(each.target_types for each in rules))
        if not permitted or "Resource" in permitted:
            return
        target = resolved(item.value, self.resource)
        if target is not None and target.get("resourceType") not in permitted:
            words = f"A reference here leads to one of: {', '.join(sorted(permitted))}."
            self.add(profile, "value", words, (item.place, "reference"))

    def _binding(self, item: Item, rule: ElementRule, profile: Profile) -> None:
        binding = rule.binding
        if binding is None or (not self.thorough and binding.strength != "required" and binding.maximum is None):
            return
        answer = is_member(item, binding.value_set, profile.version)
        if answer is False:
            severity = "error" if binding.strength == "required" else "warning"
            words = f"No code of this is in the {binding.strength} value set {binding.value_set}."
            self.add(profile, "code-invalid", words, item.place, severity)
        elif answer is None and binding.strength == "required":
            words = f"The required value set {binding.value_set} is not at hand as a whole; the code was not checked."
            self.add(profile, "informational", words, item.place, "information")
        if binding.maximum is not None and is_member(item, binding.maximum, profile.version) is False:
            words = f"No code of this is in the value set {binding.maximum}, which is the widest allowed."
            self.add(profile, "code-invalid", words, item.place)

    def _constraints(self, item: Item, rule: ElementRule, profile: Profile) -> None:
        if item.value is None:
            return
        for each in rule.constraints:
            if each.severity == "error" or self.thorough:
                self._constraint(item, each, profile)

    def _constraint(self, item: Item, rule: Constraint, profile: Profile) -> None:
        self.looked_at += _size(item.value, MOST_VALUES)
        if self.looked_at > MOST_VALUES:
            words = "The resource is too large for the constraints of the profile; split it, or leave the claim out."
            self.add(profile, "too-costly", words, (None, str(self.resource["resourceType"])))
            return
        try:
            if not holds(rule.expression, item.value, item.datatype, self.resource):
                self.add(profile, "invariant", f"{rule.key}: {rule.text}", item.place, rule.severity)
        except NotEvaluated:
            words = f"The constraint {rule.key} could not be evaluated here: {rule.text}"
            self.add(profile, "informational", words, item.place, "information")


def _size(value: Any, most: int) -> int:
    """Return how many JSON values there are in one, itself included; a little more than `most` stands for any more."""
    members = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    size = 1
    for each in members:
        size += _size(each, most - size)
        if size > most:
            break
    return size


def _mentions_extensions(value: Any) -> bool:
    """Say quickly whether there may be an extension somewhere inside."""
    if isinstance(value, dict):
        return any(key in _EXTENSIONS or _mentions_extensions(each) for key, each in value.items())
    return isinstance(value, list) and any(map(_mentions_extensions, value))


def _extensions(item: Item) -> Iterator[Item]:
    """Yield every extension inside an item, its contained resources aside."""
    for key, value in item.members.items():
        if key in _EXTENSIONS:
            for extension in items(item, key):
                if isinstance(extension.value, dict):
                    yield extension
                    yield from _extensions(extension)
        elif key not in {"contained", "resource", "resourceType"} and isinstance(value, dict | list):
            for inner in _of_key(item, key):
                yield from _extensions(inner)


def _of_key(item: Item, key: str) -> Iterator[Item]:
    """Yield the occurrences of the element that a JSON key holds; those of a primitive come by its sibling."""
    name = key.removeprefix("_")
    found = list(items(item, name))
    if not found:
        for cut in range(len(name) - 1, 0, -1):
            if name[cut].isupper():
                found = list(items(item, name[:cut]))
            if found:
                break
    yield from found


def _names(rule: ElementRule) -> str:
    return ", ".join(str(each.slice_name) for each in rule.slices) or "nothing"


def _shown(value: Any) -> str:
    return encode_json(value).decode()

"""Which slice of an element a value belongs to (FHIR R4 profiling.html#discriminator)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from capability.profiles import Discriminator, ElementRule, Profile
from fhir_server.validation.fhirpath import resolved
from fhir_server.validation.instances import Item, equals, fits, items, root_item
from fhir_server.validation.terminology import is_member

STEP: Final = re.compile(
    r"(?P<this>\$this)|(?P<resolve>resolve\(\))|ofType\((?P<type>[A-Za-z]+)\)"
    r"|extension\('(?P<url>[^']+)'\)|(?P<name>[A-Za-z]+)"
)
"""What a path of a discriminator is made of (profiling.html#discriminator: a restricted FHIRPath)."""

Conforms = Callable[[Item, str], bool]
"""Says whether a value follows a profile."""


@cache
def steps(path: str) -> list[re.Match[str]]:
    """Return the steps of a discriminator's path; raises ValueError for one that discriminators cannot have."""
    found: list[re.Match[str]] = []
    rest = path
    while rest:
        match = STEP.match(rest)
        if match is None:
            raise ValueError(path)
        found.append(match)
        rest = rest[match.end() :]
        rest = rest.removeprefix(".") if rest[:1] == "." else rest
    return found


@dataclass(frozen=True, slots=True)
class Context:
    """Where slices are told apart: the profile, the resource as a whole, and how to ask for another profile."""

    profile: Profile
    resource: dict[str, Any]
    conforms: Conforms


def belongs(item: Item, a_slice: ElementRule, discriminators: Sequence[Discriminator], context: Context) -> bool:
    """Say whether a value belongs to a slice: all discriminators have to agree."""
    return bool(discriminators) and all(_agrees(item, a_slice, each, context) for each in discriminators)


def _agrees(item: Item, a_slice: ElementRule, discriminator: Discriminator, context: Context) -> bool:
    path = steps(discriminator.path)
    found = list(_follow([item], path, context.resource))
    rule = _rule_at(a_slice, path)
    match discriminator.kind:
        case "exists":
            return bool(found) == (rule is None or rule.maximum != 0)
        case "type":
            codes = {each.code for each in rule.types} if rule is not None else set()
            return any(each.datatype in codes for each in found)
        case "profile":
            urls = [url for each in rule.types for url in each.profiles] if rule is not None else []
            return any(context.conforms(each, url) for each in found for url in urls)
        case _:
            demands = list(_demands(a_slice, path, context.profile))
            return bool(demands) and all(any(demand(each) for each in found) for demand in demands)


def _follow(start: list[Item], path: list[re.Match[str]], resource: dict[str, Any]) -> Iterator[Item]:
    found = start
    for step in path:
        if step["name"]:
            found = [inner for each in found for inner in items(each, step["name"])]
        elif step["type"]:
            found = [each for each in found if each.datatype == step["type"]]
        elif step["url"]:
            extensions = (inner for each in found for inner in items(each, "extension"))
            found = [each for each in extensions if each.value.get("url") == step["url"]]
        elif step["resolve"]:
            targets = (resolved(each.value, resource) for each in found)
            found = [root_item(each) for each in targets if each is not None]
    yield from found


def _rule_at(rule: ElementRule, path: list[re.Match[str]]) -> ElementRule | None:
    """Return what a slice says about the element that a path leads to."""
    found: ElementRule | None = rule
    for step in path:
        if step["name"] and found is not None:
            found = found.child(step["name"])
        elif step["url"] and found is not None:
            slices = (child for each in found.children if each.name == "extension" for child in each.slices)
            found = next((each for each in slices if step["url"] in _profiles(each)), None)
    return found


Demand = Callable[[Item], bool]


def _demands(rule: ElementRule, path: list[re.Match[str]], profile: Profile) -> Iterator[Demand]:
    """Yield what the value at a path has to be for the slice: fixed, of a pattern, or of a required value set.

    A pattern further up says it as well; an extension is known by the URL of its definition.
    """
    names = [step["name"] for step in path if step["name"]]
    if names == ["url"] and rule.name in {"extension", "modifierExtension"} and (urls := _profiles(rule)):
        yield _is(urls[0])
        return
    yield from _demanded([rule], names, profile)


def _demanded(rules: Sequence[ElementRule], names: Sequence[str], profile: Profile) -> Iterator[Demand]:
    """Yield what rules for one element say about the element that a path of names leads to inside it."""
    for rule in rules:
        if rule.fixed is not None:
            yield from (_is(value) for value in _inside(rule.fixed, names))
        elif rule.pattern is not None:
            yield from (_has(value) for value in _inside(rule.pattern, names))
        elif not names and rule.binding is not None and rule.binding.strength == "required":
            yield _in_value_set(rule.binding.value_set, profile)
        child = rule.child(names[0]) if names else None
        if child is not None:
            mandatory = (each for each in child.slices if each.minimum)
            yield from _demanded([child, *mandatory], names[1:], profile)


def _profiles(rule: ElementRule) -> list[str]:
    return [url.partition("|")[0] for each in rule.types for url in each.profiles]


def _inside(value: Any, names: Sequence[str]) -> Iterator[Any]:
    """Yield the values that a path of names leads to inside a pattern."""
    if isinstance(value, list) and names:
        for each in value:
            yield from _inside(each, names)
    elif not names:
        yield value
    elif isinstance(value, Mapping) and names[0] in value:
        yield from _inside(value[names[0]], names[1:])


def _is(value: Any) -> Demand:
    return lambda item: equals(value, item.value)


def _has(pattern: Any) -> Demand:
    return lambda item: fits(pattern, item.value)


def _in_value_set(value_set: str, profile: Profile) -> Demand:
    return lambda item: is_member(item, value_set, profile.version) is not False

"""Profiles that resources can be validated against: US Core 7.0.0 and 6.1.0, R4's vital signs.

Their data (`scripts/generate_profiles.py` writes it) holds what a profile says beyond the type that it constrains, and
is read when a profile is first asked for: who validates nothing pays for the index alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec

from capability.data_files import packed_lines, read_data


@dataclass(frozen=True, slots=True)
class TypeRule:
    """One data type that an element may have. `targets` are the profiles that a Reference may lead to.

    `profiles` are those that the value itself has to follow, such as the definition of an extension; `target_types`
    are the resource types of `targets`.
    """

    code: str
    targets: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    target_types: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ValueSetRule:
    """A binding: `strength` as in valueset-binding-strength; outside `maximum`, if there is one, is always a fault."""

    strength: str
    value_set: str
    maximum: str | None = None


@dataclass(frozen=True, slots=True)
class Constraint:
    """A FHIRPath constraint; `severity` is error or warning."""

    key: str
    severity: str
    text: str
    expression: str


class Discriminator(NamedTuple):
    """What tells slices apart: a kind (`value`, `pattern`, `type`, `exists`, `profile`) and a path."""

    kind: str
    path: str


@dataclass(frozen=True, slots=True, eq=False)
class ElementRule:
    """What a profile says about one element, or one slice of it, beyond the base type.

    `name` is that of FHIRPath with `[x]` for a choice. `minimum` is 0 and `maximum` None where the base type's hold,
    `types` is empty where all of the base type's are allowed. `closed` refuses values that are in no slice.
    """

    name: str
    slice_name: str | None = None
    minimum: int = 0
    maximum: int | None = None
    types: tuple[TypeRule, ...] = ()
    fixed: Any = None
    pattern: Any = None
    binding: ValueSetRule | None = None
    constraints: tuple[Constraint, ...] = ()
    must_support: bool = False
    supported: tuple[str, ...] = ()
    """Data types and target profiles that are must-support one by one."""
    discriminators: tuple[Discriminator, ...] = ()
    closed: bool = False
    slices: tuple[ElementRule, ...] = ()
    children: tuple[ElementRule, ...] = ()

    def child(self, name: str) -> ElementRule | None:
        """Return the rule of an element of this one, by its name with or without `[x]`."""
        return next((each for each in self.children if each.name.removesuffix("[x]") == name), None)


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """A profile, or the definition of an extension: `type` is the type it constrains."""

    url: str
    version: str
    title: str
    type: str
    root: ElementRule = field(repr=False)

    @property
    def canonical(self) -> str:
        """URL and version."""
        return f"{self.url}|{self.version}"


@dataclass(frozen=True, slots=True)
class MustSupport:
    """A must-support element (us_core M1): its path with slices (`Observation.category:VSCat.coding`).

    `types` are the data types and target profiles of which each has to be supported; empty where any will do.
    """

    path: str
    types: tuple[str, ...] = ()


class _Entry(NamedTuple):
    url: str
    version: str
    type: str
    file: str
    line: int


_INDEX: Final[tuple[_Entry, ...]] = tuple(_Entry(**row) for row in read_data("profiles.json"))
_BY_NAME: Final[Mapping[str, _Entry]] = {
    **{each.url: each for each in reversed(_INDEX)},
    **{f"{each.url}|{each.version}": each for each in _INDEX},
}
"""Entries by canonical; the first of the index, the newest US Core, answers for a URL without version."""


class _Profiles(Mapping[str, Profile]):
    """Profiles by canonical URL, with or without version, read one by one."""

    def __getitem__(self, canonical: str) -> Profile:
        return _profile(_BY_NAME[canonical])

    def __contains__(self, canonical: object) -> bool:
        return canonical in _BY_NAME

    def __iter__(self) -> Iterator[str]:
        return iter(_BY_NAME)

    def __len__(self) -> int:
        return len(_BY_NAME)


PROFILES: Final[Mapping[str, Profile]] = _Profiles()
"""Every profile and extension by URL, and by URL with version; a URL alone means the newest (7.0.0 for US Core)."""


def find_profile(canonical: str, like: Profile | None = None) -> Profile | None:
    """Return a profile by `url` or `url|version`; without a version that of the package of `like`, else the newest."""
    if like is not None and "|" not in canonical and f"{canonical}|{like.version}" in PROFILES:
        canonical = f"{canonical}|{like.version}"
    return PROFILES.get(canonical)


@lru_cache(maxsize=64)
def errors_alone(profile: Profile) -> ElementRule:
    """Return the rules of a profile without those that are never broken with severity error."""
    return _errors(profile.root) or ElementRule(profile.type)


def _errors(rule: ElementRule) -> ElementRule | None:
    binding = rule.binding
    if binding is not None and binding.strength != "required" and binding.maximum is None:
        binding = None
    constraints = tuple(each for each in rule.constraints if each.severity == "error")
    children = tuple(each for each in map(_errors, rule.children) if each is not None)
    slices = tuple(each if each.slices else _errors(each) or each for each in rule.slices)
    said = (rule.minimum, rule.maximum is not None, rule.types, rule.closed, slices, children, constraints)
    if not any(said) and binding is None and rule.fixed is None and rule.pattern is None:
        return None
    return replace(rule, binding=binding, constraints=constraints, children=children, slices=slices)


def profiles_of(resource_type: str) -> tuple[str, ...]:
    """Return the URLs of the profiles of a resource type, without versions, each once."""
    return tuple(dict.fromkeys(each.url for each in _INDEX if each.type == resource_type))


def versions_of(url: str) -> tuple[str, ...]:
    """Return the versions at hand of a profile, the newest first."""
    return tuple(each.version for each in _INDEX if each.url == url)


def must_support(profile: Profile) -> tuple[MustSupport, ...]:
    """Return every must-support element of a profile, in the order of its definition."""
    return tuple(_supported(profile.root, profile.type))


def _supported(rule: ElementRule, path: str) -> Iterator[MustSupport]:
    if rule.must_support:
        yield MustSupport(path, rule.supported)
    for each in (*rule.slices, *rule.children):
        inner = f"{path}:{each.slice_name}" if each.slice_name else f"{path}.{each.name}"
        yield from _supported(each, inner)


@lru_cache(maxsize=64)
def _profile(entry: _Entry) -> Profile:
    data = msgspec.json.decode(packed_lines(f"profiles_{entry.file}.ndjson.gz")[entry.line])
    root = _rule({"name": data["type"]} | data["root"])
    return Profile(data["url"], data["version"], data["title"], data["type"], root)


def _rule(data: dict[str, Any]) -> ElementRule:
    return ElementRule(
        name=data["name"],
        slice_name=data.get("slice"),
        minimum=data.get("min", 0),
        maximum=data.get("max"),
        types=tuple(_type_rule(*each) for each in data.get("types", ())),
        fixed=data.get("fixed"),
        pattern=data.get("pattern"),
        binding=ValueSetRule(*data["binding"]) if "binding" in data else None,
        constraints=tuple(Constraint(*each) for each in data.get("rules", ())),
        must_support=data.get("ms", False),
        supported=tuple(data.get("msTypes", ())),
        discriminators=tuple(Discriminator(*each) for each in data.get("slicing", ())),
        closed=data.get("closed", False),
        slices=tuple(map(_rule, data.get("slices", ()))),
        children=tuple(map(_rule, data.get("children", ()))),
    )


def _type_rule(code: str, targets: Any = (), profiles: Any = (), target_types: Any = ()) -> TypeRule:
    return TypeRule(code, tuple(targets), tuple(profiles), frozenset(target_types))

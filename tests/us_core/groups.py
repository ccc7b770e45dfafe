"""Profile groups of the US Core conformance kits, as data: what each asks to be searched and shown (us_core.md §5–§9).

`groups.json` has one object for each profile of each version: its searches, includes and must-support rows.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from tests.us_core.elements import codings

VERSIONS = ("7.0.0", "6.1.0", "3.1.1")
SAMPLE = files("fhir_server.demo") / "data" / "us_core.json"
FHIR = "http://hl7.org/fhir/StructureDefinition/"
US_CORE = "http://hl7.org/fhir/us/core/StructureDefinition/"


@dataclass(frozen=True, slots=True)
class Group:
    """One profile of one version; `codes` and `categories` say which resources it is about."""

    version: str
    profile: str
    type: str
    shall: tuple[tuple[str, ...], ...]
    should: tuple[tuple[str, ...], ...]
    include: tuple[str, ...]
    must_support: tuple[str, ...]
    codes: frozenset[str] = frozenset()
    categories: frozenset[str] = frozenset()
    fixed: tuple[tuple[str, str], ...] = ()

    @property
    def combinations(self) -> tuple[tuple[str, ...], ...]:
        """Every search that the version asks for or recommends."""
        return (*self.shall, *self.should)

    @property
    def name(self) -> str:
        """How the group is told apart in the name of a test."""
        return f"{self.version}-{self.profile}"

    def has(self, resource: dict[str, Any]) -> bool:
        """Whether a resource belongs to the group: by type, code and category, whatever `meta.profile` claims."""
        if resource["resourceType"] != self.type:
            return False
        if self.codes:
            return bool(self.codes & {coding.partition("|")[2] for coding in codings(resource["code"])})
        if self.type == "Condition" and self.profile != "us-core-condition":
            wanted = {"encounter-diagnosis"} if "encounter" in self.profile else {"problem-list-item", "health-concern"}
            return bool(wanted & categories_of(resource))
        return not self.categories or bool(self.categories & categories_of(resource))


def categories_of(resource: dict[str, Any]) -> set[str]:
    """Return the codes of a resource's categories."""
    return {coding.partition("|")[2] for category in resource.get("category", []) for coding in codings(category)}


def _group(entry: dict[str, Any]) -> Group:
    lists = {key: tuple(map(tuple, entry[key])) for key in ("shall", "should")}
    return Group(
        entry["version"],
        entry["profile"],
        entry["type"],
        include=tuple(entry["include"]),
        must_support=tuple(entry["must_support"]),
        codes=frozenset(entry.get("codes", ())),
        categories=frozenset(entry.get("categories", ())),
        fixed=tuple(entry.get("fixed", {}).items()),
        **lists,
    )


GROUPS = tuple(map(_group, json.loads(Path(__file__).with_name("groups.json").read_text("utf-8"))))


def sample_bundle() -> dict[str, Any]:
    """Return the sample data of the demonstration that covers US Core."""
    bundle: dict[str, Any] = json.loads(SAMPLE.read_text("utf-8"))
    return bundle


def sample_resources() -> list[dict[str, Any]]:
    """Return the resources of the sample data."""
    return [entry["resource"] for entry in sample_bundle()["entry"]]

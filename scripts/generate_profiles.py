"""Write `capability/data/profiles*` and `value_sets.ndjson.gz` from the published definitions (deterministic; CC0-1.0).

    python scripts/generate_profiles.py [DEFINITIONS]

DEFINITIONS is the folder that holds `r4/`, `us-core-7.0.0/` and `us-core-6.1.0/` (default:
`../shared/data/definitions`). Of each profile and extension only what its validation needs is kept: what it says beyond
the resource type or data type that it constrains, which is validated anyhow. Run `generate_capability.py` and
`generate_validation.py` first.
"""

import gzip
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from capability.elements import REFERENCE_TARGETS, RESOURCE_TYPES, element  # noqa: E402
from capability.validation_tables import BINDINGS, INVARIANTS  # noqa: E402

DATA = ROOT / "capability" / "data"
BY_HAND = json.loads((ROOT / "scripts" / "value_sets_by_hand.json").read_text("utf-8"))
PACKAGES = {
    "us-core-7.0.0": "structuredefinitions.ndjson.gz",
    "us-core-6.1.0": "structuredefinitions.ndjson.gz",
    "r4": "structure-definitions.ndjson.gz",
}
"""Folder of each package to its file of structure definitions; the first that has a URL answers for it unversioned."""

CORE = "http://hl7.org/fhir/StructureDefinition/"
TYPE_MUST_SUPPORT = "http://hl7.org/fhir/StructureDefinition/elementdefinition-type-must-support"
MAXIMUM = "http://hl7.org/fhir/StructureDefinition/elementdefinition-maxValueSet"
BASE_RULES = {key for rules in INVARIANTS.values() for key in rules}
"""Keys of the invariants that validation of R4 resources checks itself."""

OF_R4 = {
    "http://hl7.org/fhir/ValueSet/administrative-gender",
    "http://hl7.org/fhir/ValueSet/mimetypes",
    "http://hl7.org/fhir/ValueSet/questionnaire-answers-status",
    "http://hl7.org/fhir/ValueSet/specimen-status",
}
"""Value sets of required bindings that profiles repeat from R4, whose own validation knows or leaves them open."""

DAY = "$this is dateTime implies $this.toString().length() >= 10"
UCUM = "ofType(Quantity).system.empty() or ofType(Quantity).system = 'http://unitsofmeasure.org'"
SNOMED = (
    "ofType(CodeableConcept).coding.system.empty() or (ofType(CodeableConcept).coding.system contains "
    "'http://snomed.info/sct')"
)
ANSWERED = "item.where(answer.value.exists()).linkId.isDistinct()"
MENDED = {
    f"(QuestionnaireResponse|repeat(answer|item)).select({ANSWERED}).allTrue()": f"{ANSWERED} and "
    f"descendants().select({ANSWERED}).allTrue()",
    "$this is DateTime implies $this.toString().length() >= 10": DAY,
    "($this as dateTime).toString().length() >= 8": DAY,
    "telecom or endpoint": "telecom.exists() or endpoint.exists()",
    "practitioner or organization or healthcareService or location": "practitioner.exists() or organization.exists() "
    "or healthcareService.exists() or location.exists()",
    "value.ofType(Quantity).system.empty() or value.ofType(Quantity).system = 'http://unitsofmeasure.org'": UCUM,
    "value.ofType(CodeableConcept).coding.system.empty() or value.ofType(CodeableConcept).coding.system = "
    "'http://snomed.info/sct'": SNOMED,
}
"""Expressions in other words: of US Core 6.1.0 those that cannot hold or fail as published, in the words of 7.0.0, and
one of both in which fhirpathpy loses the types of what `|` joins."""

Json = dict[str, Any]


def lines(path: Path) -> Iterator[Json]:
    """Yield the objects of a gzipped NDJSON file."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        yield from map(json.loads, file)


# --- profiles ---------------------------------------------------------------------------------------------------------


def profiles(definitions: Path) -> Iterator[tuple[str, Json]]:
    """Yield package and structure definition of every profile and extension."""
    for package, name in PACKAGES.items():
        for structure in lines(definitions / package / name):
            if structure.get("derivation") == "constraint":
                yield package, structure


def compact(structure: Json, types_of: dict[str, str]) -> Json:
    """Return what validation needs of a structure definition, its elements as a tree."""
    elements = structure["snapshot"]["element"]
    root = {"name": structure["type"], "type": structure["type"], "full": elements[0]}
    nodes = {elements[0]["id"]: root}
    for full in elements[1:]:
        parent_id, _, last = full["id"].rpartition(".")
        name, _, slice_name = last.partition(":")
        parent = nodes[parent_id]
        node: Json = {"name": name, "full": full, "owner": parent["type"]}
        node["type"] = type_of(parent["type"], name, full)
        nodes[full["id"]] = node
        if slice_name:
            node["slice"] = slice_name
            nodes[f"{parent_id}.{name}"].setdefault("slices", []).append(node)
        else:
            parent.setdefault("children", []).append(node)
    tree = pruned(root, types_of) or {}
    tree.pop("name", None)
    return {
        "url": structure["url"],
        "version": structure["version"],
        "title": structure.get("title") or structure["name"],
        "type": structure["type"],
        "root": tree,
    }


def type_of(owner: str, name: str, full: Json) -> str:
    """Return the data type of an element, that of its only type where a choice has one; "" when it is not known."""
    codes = [each["code"] for each in full.get("type", [])]
    base = element(owner, name.removesuffix("[x]"))
    if base is None or base.choice:
        return codes[0] if len(codes) == 1 else ""
    return base.datatypes[0]


def pruned(node: Json, types_of: dict[str, str], within: frozenset[str] = frozenset()) -> Json | None:
    """Return the node with what it says beyond its base; None when that is nothing. `within` are rules of the whole."""
    full, is_slice = node["full"], "slice" in node
    rules = [rule for rule in rules_of(full) if rule[0] not in within]
    known = within | {rule[0] for rule in rules}
    slices = [each for each in (pruned(inner, types_of, known) for inner in node.get("slices", [])) if each]
    slicing = full.get("slicing", {}) if slices or full.get("slicing", {}).get("rules") == "closed" else {}
    base = full.get("base", {})
    said = {
        "min": full["min"] if full["min"] > (0 if is_slice else base.get("min", 0)) else None,
        "max": int(full["max"]) if full["max"] != base.get("max", full["max"]) else None,
        "types": list(type_rules(node, types_of)) or None,
        "fixed": next((value for key, value in full.items() if key.startswith("fixed")), None),
        "pattern": next((value for key, value in full.items() if key.startswith("pattern")), None),
        "binding": binding_of(node),
        "rules": rules or None,
        "ms": full.get("mustSupport") or None,
        "msTypes": (supported_types(full) if full.get("mustSupport") else None) or None,
        "slicing": [[each["type"], each["path"]] for each in slicing.get("discriminator", [])] or None,
        "closed": slicing.get("rules") == "closed" or None,
        "slices": slices or None,
        "children": [each for each in (pruned(inner, types_of) for inner in node.get("children", [])) if each] or None,
    }
    out = {key: value for key, value in said.items() if value is not None}
    if not out and not is_slice:
        return None
    named = {"name": node["name"]} | ({"slice": node["slice"]} if is_slice else {})
    return named | out


def type_rules(node: Json, types_of: dict[str, str]) -> Iterator[list[Any]]:
    """Yield [code, target profiles, profiles, types of the targets] where the types are fewer than the base's."""
    stated = [each for each in node["full"].get("type", []) if not each["code"].startswith("http:")]
    base = element(node.get("owner", ""), node["name"].removesuffix("[x]")) if stated else None
    if base is None:
        return
    rows = [
        [
            each["code"],
            targets_of(each),
            [url for url in each.get("profile", []) if each["code"] == "Extension" or not url.startswith(CORE)],
            sorted({types_of.get(url) or url.removeprefix(CORE) for url in targets_of(each)}),
        ]
        for each in stated
    ]
    targets = set(REFERENCE_TARGETS.get(f"{node['owner']}.{node['name'].removesuffix('[x]')}", ()))
    fewer = base.choice and {row[0] for row in rows} != set(base.datatypes)
    narrower = any(row[1] and (set(row[3]) != targets or not all(u.startswith(CORE) for u in row[1])) for row in rows)
    if fewer or narrower or any(row[2] for row in rows):
        for row in rows:
            unknown = set(row[3]) - set(RESOURCE_TYPES) - {"Resource"}
            assert not unknown, unknown
            while row and not row[-1]:
                row.pop()
            yield row


def targets_of(stated: Json) -> list[str]:
    """Return the profiles that a Reference may lead to; those of a canonical are not looked at."""
    return stated.get("targetProfile", []) if stated["code"] == "Reference" else []


def supported_types(full: Json) -> list[str]:
    """Return the data types, and the targets of references, that the profile marks as must-support one by one."""
    found: list[str] = []
    for each in full.get("type", []):
        if is_supported(each.get("extension", [])):
            found.append(each["code"])
        marks = each.get("_targetProfile", [])
        found += [
            u
            for u, mark in zip(each.get("targetProfile", []), marks, strict=False)
            if mark and is_supported(mark.get("extension", []))
        ]
    return found


def is_supported(extensions: Iterable[Json]) -> bool:
    """Say whether the extension is there that marks a type as must-support."""
    return any(each["url"] == TYPE_MUST_SUPPORT and each.get("valueBoolean") for each in extensions)


def binding_of(node: Json) -> list[str] | None:
    """Return strength, value set and, where there is one, the maximal value set of a binding beyond the base's."""
    binding = node["full"].get("binding", {})
    value_set = binding.get("valueSet")
    if value_set is None or binding["strength"] == "example":
        return None
    base = BINDINGS.get(f"{node.get('owner', '')}.{node['name'].removesuffix('[x]')}")
    name = value_set.partition("|")[0]
    if binding["strength"] == "required" and (name in OF_R4 or (base is not None and base.value_set == name)):
        return None
    maximum = [each["valueCanonical"] for each in binding.get("extension", []) if each["url"] == MAXIMUM]
    return [binding["strength"], value_set, *maximum]


def rules_of(full: Json) -> Iterator[list[str]]:
    """Yield key, severity, text and expression of the constraints that are not those of R4 itself."""
    for each in full.get("constraint", []):
        if each["severity"] == "error" and each["key"] in BASE_RULES:
            continue
        expression = each["expression"]
        yield [each["key"], each["severity"], " ".join(each["human"].split()), MENDED.get(expression, expression)]


# --- value sets -------------------------------------------------------------------------------------------------------


class Expander:
    """The value sets and code systems of one package and of R4; what is not at hand stays open."""

    def __init__(self, definitions: Path, package: str) -> None:
        self.value_sets: dict[str, Json] = {}
        self.systems: dict[str, Json] = {}
        for folder in dict.fromkeys(("r4", package)):
            self.value_sets |= {each["url"]: each for each in lines(definitions / folder / "valuesets.ndjson.gz")}
            self.systems |= {each["url"]: each for each in lines(definitions / folder / "codesystems.ndjson.gz")}

    def expand(self, url: str) -> Json:
        """Return codes by system, systems that are in as a whole, and systems of which it is not known (`*`: any)."""
        if url in BY_HAND:
            return {
                "codes": {system: set(codes) for system, codes in BY_HAND[url].items()},
                "whole": set(),
                "open": set(),
            }
        value_set = self.value_sets.get(url)
        if value_set is None or "compose" not in value_set:
            return {"codes": {}, "whole": set(), "open": {"*"}}
        found: Json = {"codes": {}, "whole": set(), "open": set()}
        for include in value_set["compose"]["include"]:
            self.add(found, include)
        for exclude in value_set["compose"].get("exclude", []):
            self.remove(found, exclude)
        return found

    def add(self, found: Json, include: Json) -> None:
        """Add what an `include` names."""
        system = include.get("system", "").partition("|")[0]
        parts = [self.expand(url.partition("|")[0]) for url in include.get("valueSet", [])]
        if parts and system:  # an intersection: not needed by any of the definitions, so it stays open
            found["open"].add(system)
        elif parts:
            for part in parts:
                found["whole"] |= part["whole"]
                found["open"] |= part["open"]
                for name, codes in part["codes"].items():
                    found["codes"].setdefault(name, set()).update(codes)
        elif "concept" in include:
            found["codes"].setdefault(system, set()).update(each["code"] for each in include["concept"])
        else:
            self.add_system(found, system, include.get("filter", []))

    def add_system(self, found: Json, system: str, filters: list[Json]) -> None:
        """Add the codes of a code system that pass all filters."""
        concepts = self.concepts(system)
        if concepts is None:
            found["open" if filters else "whole"].add(system)
            return
        codes = set(concepts)
        for each in filters:
            below = {code for code, above in concepts.items() if each["value"] in above}
            match each["property"], each["op"]:
                case "concept", "is-a":
                    codes &= below | {each["value"]}
                case "concept", "descendent-of":
                    codes &= below
                case "concept", "is-not-a":
                    codes -= below | {each["value"]}
                case _:
                    found["open"].add(system)
                    return
        found["codes"].setdefault(system, set()).update(codes)

    def concepts(self, system: str) -> dict[str, set[str]] | None:
        """Return each code of a system with the codes above it; None when not all of them are at hand."""
        definition = self.systems.get(system)
        if definition is None or definition["content"] != "complete" or not definition.get("concept"):
            return None
        found: dict[str, set[str]] = {}

        def walk(concepts: list[Json], above: set[str]) -> None:
            for each in concepts:
                found[each["code"]] = above
                walk(each.get("concept", []), above | {each["code"]})

        walk(definition["concept"], set())
        return found

    def remove(self, found: Json, exclude: Json) -> None:
        """Take out what an `exclude` names; what cannot be told leaves the value set open."""
        if "concept" not in exclude:
            found["open"].add("*")
            return
        found["codes"].get(exclude["system"], set()).difference_update(each["code"] for each in exclude["concept"])


def value_sets(definitions: Path) -> Iterator[Json]:
    """Yield every value set of the packages, expanded as far as the definitions at hand allow."""
    for package in PACKAGES:
        expander = Expander(definitions, package)
        for value_set in lines(definitions / package / "valuesets.ndjson.gz"):
            found = expander.expand(value_set["url"])
            yield {
                "url": value_set["url"],
                "version": value_set["version"],
                "codes": {system: sorted(found["codes"][system]) for system in sorted(found["codes"])},
                **{name: sorted(found[name]) for name in ("whole", "open") if found[name]},
            }


# --- files ------------------------------------------------------------------------------------------------------------


def write(name: str, rows: Iterable[Json]) -> None:
    """Write one file of NDJSON, gzipped; the same rows always give the same bytes."""
    text = "".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in rows)
    path = DATA / name
    path.write_bytes(gzip.compress(text.encode("utf-8"), compresslevel=9, mtime=0))
    print(f"{name}: {path.stat().st_size:,} bytes ({len(text):,} unpacked)")


def main() -> None:
    """Write the data files."""
    definitions = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT.parent / "shared" / "data" / "definitions"
    found = list(profiles(definitions))
    types_of = {structure["url"]: structure["type"] for _, structure in found}
    index = []
    for package in PACKAGES:
        rows = [compact(structure, types_of) for own, structure in found if own == package]
        write(f"profiles_{package}.ndjson.gz", rows)
        index += [
            {"url": row["url"], "version": row["version"], "type": row["type"], "file": package, "line": line}
            for line, row in enumerate(rows)
        ]
    path = DATA / "profiles.json"
    path.write_text("[\n" + ",\n".join(json.dumps(row) for row in index) + "\n]\n", "utf-8")
    print(f"profiles.json: {path.stat().st_size:,} bytes")
    write("value_sets.ndjson.gz", value_sets(definitions))


if __name__ == "__main__":
    main()

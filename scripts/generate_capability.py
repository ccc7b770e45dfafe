"""Write `capability/data/` from the published FHIR definitions (deterministic; licence of the inputs: CC0-1.0).

    python scripts/generate_capability.py [DEFINITIONS]

DEFINITIONS is the folder that holds `r4/`, `us-core-6.1.0/` and `us-core-7.0.0/` (default:
`../shared/data/definitions`). What the published files lack comes from `search_parameters_by_hand.json` beside this
script. Positions of search parameters (their bit in the presence mask) are kept from the previous output: new ones are
appended.
"""

import gzip
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from capability.expressions import split_union

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "capability" / "data"
BY_HAND = Path(__file__).with_name("search_parameters_by_hand.json")
Json = dict[str, Any]

COMMON = ("_id", "_lastUpdated", "_tag", "_profile", "_security", "_source")
"""Parameters of every type, at bits 0 to 5 of each presence mask."""

NOT_SERVED = {"phonetic", "near", "_text", "_content", "_query"}
"""Official parameters that need an algorithm we do not have; offering them as plain ones would give wrong answers."""

REWRITTEN = {
    # The whole Coding, so that `system|code` works as well as `code`.
    "http://hl7.org/fhir/us/core/SearchParameter/us-core-race": "Patient.extension.where("
    "url = 'http://hl7.org/fhir/us/core/StructureDefinition/us-core-race').extension.value.ofType(Coding)",
    "http://hl7.org/fhir/us/core/SearchParameter/us-core-ethnicity": "Patient.extension.where("
    "url = 'http://hl7.org/fhir/us/core/StructureDefinition/us-core-ethnicity').extension.value.ofType(Coding)",
    "http://hl7.org/fhir/us/core/SearchParameter/us-core-patient-gender-identity": "Patient.extension.where("
    "url = 'http://hl7.org/fhir/us/core/StructureDefinition/us-core-genderIdentity').value.ofType(CodeableConcept)",
    # The published form names a JSON key instead of a FHIRPath element.
    "http://hl7.org/fhir/us/core/SearchParameter/us-core-condition-asserted-date": "Condition.extension.where("
    "url = 'http://hl7.org/fhir/StructureDefinition/condition-assertedDate').value.ofType(dateTime)",
}
"""Expressions that say what their parameter means, where the published text does not."""

SWAPPED_COMPONENTS = {"http://hl7.org/fhir/SearchParameter/DocumentReference-relationship"}
"""Composites whose published component expressions stand in the wrong order (erratum of R4)."""

OF_ELEMENTS = {"id", "extension", "modifierExtension"}
OF_RESOURCES = OF_ELEMENTS | {"meta", "implicitRules", "language", "text", "contained"}
"""Elements of Element and BackboneElement, of Resource and DomainResource: stored once, not per type."""


def ndjson(path: Path) -> list[Json]:
    """Return the objects of a gzipped NDJSON file."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def resources_of(bundle: Path) -> list[Json]:
    """Return the resources of a Bundle file."""
    return [entry["resource"] for entry in json.loads(bundle.read_text("utf-8"))["entry"]]


def spread(value: Json, levels: int) -> str:
    """Return JSON with one member a line down to `levels`, so that a difference can be read."""
    members = (
        f"{json.dumps(key)}:{spread(member, levels - 1)}"
        if levels > 1 and isinstance(member, dict)
        else f"{json.dumps(key)}:{json.dumps(member, ensure_ascii=False, separators=(',', ':'))}"
        for key, member in value.items()
    )
    return "{\n" + ",\n".join(members) + "\n}"


def write(name: str, value: Json, levels: int = 1) -> None:
    """Write one data file."""
    text = spread(value, levels) + "\n"
    (DATA / name).write_text(text, "utf-8")
    print(f"{name}: {len(text.encode()):,} bytes")


# --- elements ---------------------------------------------------------------------------------------------------------


def property_type(definition: Json) -> str:
    """Return the definition name a property refers to, with `*` for a list; `` for an inlined primitive."""
    if "items" in definition:
        return property_type(definition["items"]) + "*"
    if "enum" in definition:
        return "code"
    return str(definition.get("$ref", "")).rpartition("/")[2]


def choices_of(properties: dict[str, str], primitives: set[str], complex_types: set[str]) -> dict[str, list[str]]:
    """Group the members of choice elements: `{"value": ["Quantity", ...]}`, in the order of the schema.

    The schema does not mark choices: a choice is a prefix with two or more properties that end in their own type, and
    it inlines the primitive ones.
    """
    suffixes = {name[0].upper() + name[1:]: name for name in primitives} | {name: name for name in complex_types}
    groups: dict[str, list[str]] = {}
    for name, kind in properties.items():
        for cut in range(1, len(name)):
            datatype = suffixes.get(name[cut:])
            if datatype and kind == ("" if datatype in primitives else datatype):
                groups.setdefault(name[:cut], []).append(datatype)
                break
    return {prefix: members for prefix, members in groups.items() if len(members) > 1}


def element_tables(schema: Json) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Return, per type and backbone element, its elements and their types; and the names of the resource types."""
    definitions: dict[str, Json] = schema["definitions"]
    primitives = {n for n, d in definitions.items() if "properties" not in d and n not in {"ResourceList", "xhtml"}}
    complex_types = {
        n
        for n, d in definitions.items()
        if "_" not in n and "properties" in d and "resourceType" not in d["properties"]
    }
    resources = sorted(schema["discriminator"]["mapping"])
    names: dict[str, str] = {}
    tables: dict[str, dict[str, str]] = {}
    pending = [(n, n) for n in [*sorted(complex_types), *resources]]
    names.update(pending)
    while pending:
        definition, path = pending.pop(0)
        raw = {
            name: property_type(member)
            for name, member in definitions[definition]["properties"].items()
            if not name.startswith("_") and "const" not in member
        }
        choices = choices_of(raw, primitives, complex_types)
        table: dict[str, str] = {}
        for name, kind in raw.items():
            prefix = next(
                (p for p in choices if name.startswith(p) and name[len(p) :].lower() in lowered(choices[p])), ""
            )
            if prefix:
                table[f"{prefix}[x]"] = "|".join(choices[prefix])
                continue
            bare, star = kind.rstrip("*"), "*" if kind.endswith("*") else ""
            if "_" in bare and bare not in names:
                names[bare] = f"{path}.{name}"
                pending.append((bare, f"{path}.{name}"))
            shown = "Resource" if bare == "ResourceList" else names.get(bare, bare)
            if not shown:
                raise SystemExit(f"{path}.{name}: type unknown")
            table[name] = shown + star
        inherited = OF_RESOURCES if path in resources else OF_ELEMENTS
        tables[path] = {n: t for n, t in table.items() if n not in inherited}
    tables["Resource"] = {"id": "id", "meta": "Meta", "implicitRules": "uri", "language": "code"}
    tables["DomainResource"] = {
        "text": "Narrative",
        "contained": "Resource*",
        "extension": "Extension*",
        "modifierExtension": "Extension*",
    }
    tables["Element"] = {"id": "string", "extension": "Extension*", "modifierExtension": "Extension*"}
    return dict(sorted(tables.items())), resources


def lowered(names: list[str]) -> set[str]:
    """Return the names in lower case."""
    return {name.lower() for name in names}


def snapshot_facts(structures: list[Json], tables: dict[str, dict[str, str]]) -> Json:
    """Return what only structure definitions tell: summary and mandatory top elements, reference targets.

    Stops when the element tables disagree with a structure definition.
    """
    summary: dict[str, list[str]] = {}
    mandatory: dict[str, list[str]] = {}
    targets: dict[str, list[str]] = {}
    prefix = "http://hl7.org/fhir/StructureDefinition/"
    for structure in sorted(structures, key=lambda s: str(s["id"])):
        if structure.get("derivation") == "constraint" or structure["kind"] not in {"resource", "complex-type"}:
            continue
        name = structure["id"]
        for element in structure["snapshot"]["element"]:
            path = element["path"]
            check_element(path, element, tables)
            profiles = [p for t in element.get("type", []) for p in t.get("targetProfile", [])]
            if profiles:
                targets[path.removesuffix("[x]")] = sorted({p.removeprefix(prefix) for p in profiles})
            if path.count(".") == 1 and structure["kind"] == "resource":
                short = path.partition(".")[2].removesuffix("[x]")
                if element.get("isSummary"):
                    summary.setdefault(name, []).append(short)
                if element.get("min", 0) > 0:
                    mandatory.setdefault(name, []).append(short)
    return {"summary": summary, "mandatory": mandatory, "targets": targets}


def check_element(path: str, element: Json, tables: dict[str, dict[str, str]]) -> None:
    """Stop when `tables` has no such element or another type or cardinality for it."""
    owner, _, name = path.rpartition(".")
    if (
        not owner
        or (name in OF_RESOURCES and name not in tables.get(owner, {}))
        or owner not in tables
        or "contentReference" in element
    ):
        return
    codes = [t["code"] for t in element.get("type", [])]
    found = tables[owner].get(name)
    if found is None:
        raise SystemExit(f"{path}: missing from the element tables")
    if name.endswith("[x]"):
        if sorted(found.split("|")) != sorted(codes):
            raise SystemExit(f"{path}: {found} is not {codes}")
        return
    if found.endswith("*") != (element["max"] == "*" or element["max"] not in {"0", "1"}):
        raise SystemExit(f"{path}: {found}, but max {element['max']}")
    is_named = codes[0] not in {"BackboneElement", "Element", "Resource"} and not codes[0].startswith("http")
    if is_named and found.rstrip("*") != codes[0]:
        raise SystemExit(f"{path}: {found} is not {codes}")


# --- bindings and compartments ----------------------------------------------------------------------------------------


def schema_enums(schema: Json, tables: dict[str, dict[str, str]]) -> Iterator[tuple[str, list[str]]]:
    """Yield the path and codes of each `code` element that the schema enumerates (required bindings of all types)."""
    definitions: dict[str, Json] = schema["definitions"]

    def walk(definition: str, path: str, seen: frozenset[str]) -> Iterator[tuple[str, list[str]]]:
        for name, member in definitions[definition]["properties"].items():
            if name.startswith("_") or "const" in member:
                continue
            inner = member.get("items", member)
            if "enum" in inner:
                yield f"{path}.{name}", inner["enum"]
            ref = str(inner.get("$ref", "")).rpartition("/")[2]
            if "_" in ref and ref not in seen and f"{path}.{name}" in tables:
                yield from walk(ref, f"{path}.{name}", seen | {ref})

    for name in sorted(n for n in definitions if "_" not in n and "properties" in definitions[n]):
        if name in tables:
            yield from walk(name, name, frozenset({name}))


def bindings(required: list[Json], schema: Json, tables: dict[str, dict[str, str]]) -> dict[str, Json]:
    """Return `{path: {valueSet, codes: {system: [code]}}}`; system is empty where only the schema tells the codes."""
    found: dict[str, Json] = {}
    for row in required:
        by_system: dict[str, list[str]] = {}
        for code in row.get("codes") or []:
            by_system.setdefault(code.get("system", ""), []).append(code["code"])
        if by_system:
            found[row["path"]] = {"valueSet": row["valueSet"].partition("|")[0], "codes": by_system}
    for path, codes in schema_enums(schema, tables):
        found.setdefault(path, {"valueSet": "", "codes": {"": codes}})
    return dict(sorted(found.items()))


def compartment(definition: Json) -> dict[str, list[str]]:
    """Return the parameters that put each type into a compartment."""
    return {row["code"]: row["param"] for row in definition["resource"] if row.get("param")}


def compartments(r4: Path) -> dict[str, dict[str, list[str]]]:
    """Return the compartments besides that of a patient: each by the type whose resources have one."""
    definitions = [json.loads(path.read_text("utf-8")) for path in sorted(r4.glob("compartmentdefinition-*.json"))]
    return {each["code"]: compartment(each) for each in definitions if each["code"] != "Patient"}


# --- what is kept of a resource of which a part is asked for ----------------------------------------------------------


def subsets(structures: list[Json], profiles: list[Json]) -> Json:
    """Return per resource type the top-level elements that change the meaning of the others, choices without `[x]`.

    Beside them stand the summary elements of types whose own definition is not at hand, but a profile with a snapshot.
    """
    own = {each["id"]: each for each in structures if each.get("derivation") != "constraint"}
    profiled = {each["type"]: each for each in profiles if each["kind"] == "resource" and each["type"] not in own}
    known = {name: each for name, each in (own | profiled).items() if each["kind"] == "resource"}
    return {
        "modifier": {name: flagged(known[name], "isModifier") for name in sorted(known)},
        "summary": {name: flagged(profiled[name], "isSummary") for name in sorted(profiled)},
    }


def flagged(structure: Json, flag: str) -> list[str]:
    """Return the top-level elements of a snapshot that have a flag, each once."""
    elements = [each for each in structure["snapshot"]["element"] if each["path"].count(".") == 1 and each.get(flag)]
    return list(dict.fromkeys(each["path"].partition(".")[2].removesuffix("[x]") for each in elements))


# --- search parameters ------------------------------------------------------------------------------------------------


def restricted(expression: str, base: str) -> str:
    """Return the alternatives of an expression that start at `base`."""
    alternatives = [p for p in split_union(expression) if p.lstrip("(").split(".")[0].strip() in {base, "Resource"}]
    return " | ".join(alternatives)


def parameter_row(parameter: Json, base: str, by_url: dict[str, Json]) -> Json:
    """Return one search parameter of one type as it stands in the data file."""
    expression = REWRITTEN.get(parameter["url"]) or parameter.get("expression", "")
    row: Json = {"type": parameter["type"], "expression": restricted(expression, base), "url": parameter["url"]}
    targets = sorted(parameter.get("target", []))
    if parameter["code"] == "patient" and "Patient" in targets:
        targets = ["Patient"]  # the parameter is shared with Group, but it selects Patients (`resolve() is Patient`)
    if targets:
        row["targets"] = ["*"] if len(targets) > 100 else targets
    components = parameter.get("component", [])
    if components:
        expressions = [c["expression"] for c in components]
        if parameter["url"] in SWAPPED_COMPONENTS:
            expressions.reverse()
        row["components"] = [
            [by_url[c["definition"]]["code"], e, by_url[c["definition"]]["type"]]
            for c, e in zip(components, expressions, strict=True)
        ]
    return row


def official_rows(parameters: list[Json], resources: list[str]) -> dict[str, dict[str, Json]]:
    """Return the published parameters per type that this server answers."""
    by_url = {p["url"]: p for p in parameters}
    found: dict[str, dict[str, Json]] = {}
    for parameter in parameters:
        if parameter["code"] in NOT_SERVED:
            continue
        for base in parameter["base"]:
            if base in resources:
                found.setdefault(base, {}).setdefault(parameter["code"], parameter_row(parameter, base, by_url))
    return found


def derived_identifier(name: str, tables: dict[str, dict[str, str]]) -> Json | None:
    """Return an `identifier` parameter for a type that has the element."""
    if tables[name].get("identifier", "").rstrip("*") != "Identifier":
        return None
    return {"type": "token", "expression": f"{name}.identifier", "url": ""}


CONFORMANCE = {
    "CapabilityStatement", "CodeSystem", "CompartmentDefinition", "ConceptMap", "GraphDefinition",
    "ImplementationGuide", "MessageDefinition", "NamingSystem", "OperationDefinition", "SearchParameter",
    "StructureDefinition", "StructureMap", "TerminologyCapabilities", "ValueSet",
}  # fmt: skip
"""Types whose canonical parameters share one definition (`conformance-url`); others have their own (`Measure-url`)."""
CANONICAL = {
    "url": ("uri", "uri"),
    "version": ("string", "token"),
    "name": ("string", "string"),
    "title": ("string", "string"),
    "status": ("code", "token"),
    "date": ("dateTime", "date"),
    "publisher": ("string", "string"),
}
"""Elements of canonical resources and the kind of their parameter, which has the same name."""


def derived_canonical(name: str, tables: dict[str, dict[str, str]]) -> dict[str, Json]:
    """Return the parameters of a canonical resource type; none for another type."""
    elements = tables[name]
    if not {"url", "status", "publisher"} <= elements.keys() and name != "NamingSystem":
        return {}
    owner = "conformance" if name in CONFORMANCE else name
    return {
        code: {
            "type": kind,
            "expression": f"{name}.{code}",
            "url": f"http://hl7.org/fhir/SearchParameter/{owner}-{code}",
        }
        for code, (datatype, kind) in CANONICAL.items()
        if elements.get(code) == datatype
    }


def is_exact(row: Json, tables: dict[str, dict[str, str]]) -> bool:
    """Say whether a token parameter compares letter by letter: its values are identifiers or ids, not codes."""
    kinds = set()
    for alternative in split_union(row["expression"]):
        owner, *names = alternative.split(".")
        for name in names:
            owner = (tables.get(owner, {}) | tables["Resource"]).get(name, "").rstrip("*")
        kinds.add(owner)
    return row["type"] == "token" and kinds <= {"Identifier", "id"}


def search_parameters(r4: Path, us_core: Path, resources: list[str], tables: dict[str, dict[str, str]]) -> Json:
    """Return the parameters of every type, each type's in the order of their bits."""
    core = resources_of(r4 / "search-parameters.json")
    common = {p["code"]: p for p in core if p["base"] == ["Resource"]}
    rows = official_rows(core, resources)
    hand: dict[str, dict[str, Json]] = json.loads(BY_HAND.read_text("utf-8"))["parameters"]
    us_core_rows = official_rows(resources_of(us_core), resources)
    previous: Json = {}
    if (DATA / "search_parameters.json").exists():
        previous = json.loads((DATA / "search_parameters.json").read_text("utf-8"))
    result: Json = {}
    for name in resources:
        found = {code: parameter_row(common[code], "Resource", {}) for code in COMMON}
        derived = derived_identifier(name, tables)
        canonical = derived_canonical(name, tables)
        for source in (rows.get(name, {}), hand.get(name, {}), us_core_rows.get(name, {}), canonical):
            for code in sorted(source):
                found.setdefault(code, source[code])
        if derived:
            found.setdefault("identifier", derived)
        order = [*previous.get(name, {}), *(code for code in found if code not in previous.get(name, {}))]
        lost = [code for code in order if code not in found]
        if lost or len(order) > 62:
            raise SystemExit(f"{name}: parameters lost {lost} or more than 62 of them ({len(order)})")
        result[name] = {
            code: found[code] | ({"exact": True} if is_exact(found[code], tables) else {}) for code in order
        }
    return result


# --- what US Core asks of a server ------------------------------------------------------------------------------------

COMBINATION = "http://hl7.org/fhir/StructureDefinition/capabilitystatement-search-parameter-combination"


def us_core_server(definitions: Path) -> Json:
    """Return, per type, the combinations of search parameters and the includes that US Core asks a server for."""
    result: Json = {}
    for version in ("us-core-7.0.0", "us-core-6.1.0"):
        statements = ndjson(definitions / version / "capabilitystatements.ndjson.gz")
        server = next(each for each in statements if each["id"] == "us-core-server")
        for resource in server["rest"][0]["resource"]:
            row = result.setdefault(resource["type"], {"combinations": [], "includes": []})
            required = [
                [each["valueString"] for each in extension["extension"] if each["url"] == "required"]
                for extension in resource.get("extension", [])
                if extension["url"] == COMBINATION
            ]
            row["combinations"] += [each for each in required if each not in row["combinations"]]
            row["includes"] += [each for each in resource.get("searchInclude", []) if each not in row["includes"]]
    return {name: row for name, row in sorted(result.items()) if row["combinations"] or row["includes"]}


def main() -> None:
    """Write every data file."""
    definitions = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT.parent / "shared" / "data" / "definitions"
    r4 = definitions / "r4"
    with gzip.open(r4 / "fhir.schema.json.gz", "rt", encoding="utf-8") as text:
        schema = json.load(text)
    tables, resources = element_tables(schema)
    facts = snapshot_facts(ndjson(r4 / "structure-definitions.ndjson.gz"), tables)
    for name in resources:
        required = [n for n in schema["definitions"][name].get("required", []) if n != "resourceType"]
        facts["mandatory"].setdefault(name, required)
    DATA.mkdir(parents=True, exist_ok=True)
    write("elements.json", {"resources": resources, "types": tables, **facts}, levels=2)
    write("bindings.json", bindings(json.loads((r4 / "required-bindings.json").read_text("utf-8")), schema, tables))
    write("compartment_patient.json", compartment(json.loads((r4 / "compartmentdefinition-patient.json").read_text())))
    write("compartments.json", compartments(r4), levels=2)
    profiles = ndjson(definitions / "us-core-7.0.0" / "structuredefinitions.ndjson.gz")
    write("subsets.json", subsets(ndjson(r4 / "structure-definitions.ndjson.gz"), profiles), levels=2)
    us_core = definitions / "us-core-6.1.0" / "search-parameters.json"
    write("search_parameters.json", search_parameters(r4, us_core, resources, tables), levels=2)
    write("us_core_server.json", us_core_server(definitions))


if __name__ == "__main__":
    main()

"""Write `capability/data/validation_*.json` from the published R4 definitions (deterministic; inputs: CC0-1.0).

    python scripts/generate_validation.py [DEFINITIONS]

DEFINITIONS is the folder that holds `r4/` (default: `../shared/data/definitions`). validation_rules.json lists the
invariants of severity `error` per element path, with their text; which of them are checked is up to
`fhir_server/validation`. validation_bindings.json has the required bindings that bindings.json lacks (run
`generate_capability.py` first): their codes are those that the short definition of the element lists.
validation_simple_quantities.json lists the elements whose Quantity may have no comparator.
"""

import gzip
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "capability" / "data"
KINDS = {"resource", "complex-type"}

LIST_OF_CODES = re.compile(r"[a-z\-]+(?: \| [a-z\-]+)+")

RULES_BY_HAND = {
    "MedicationAdministration.dosage": {"mad-1": "SHALL have at least one of dosage.dose or dosage.rate[x]"},
    "MedicationDispense": {"mdd-1": "whenHandedOver cannot be before whenPrepared"},
}
BINDINGS_BY_HAND = {
    "Claim.status": ("fm-status", "active | cancelled | draft | entered-in-error"),
    "ClaimResponse.status": ("fm-status", "active | cancelled | draft | entered-in-error"),
    "MedicationAdministration.status": (
        "medication-admin-status",
        "in-progress | not-done | on-hold | completed | entered-in-error | stopped | unknown",
    ),
    "MedicationDispense.status": (
        "medicationdispense-status",
        "preparation | in-progress | cancelled | on-hold | completed | entered-in-error | stopped | declined | unknown",
    ),
}
"""Invariants and required bindings of R4 types whose structure definitions are not among the inputs."""


NOT_LISTED = {"CapabilityStatement", "ElementDefinition"}
"""Types that describe FHIR itself: their rules are for publishers of specifications."""


def structures(definitions: Path) -> Iterator[dict[str, Any]]:
    """Yield the structure definitions of resources and data types, no profiles."""
    with gzip.open(definitions / "r4" / "structure-definitions.ndjson.gz", "rt", encoding="utf-8") as lines:
        for structure in map(json.loads, lines):
            if structure["kind"] in KINDS and structure.get("derivation") != "constraint":
                yield structure


def rules(definitions: Path) -> dict[str, dict[str, str]]:
    """Return, per element path, the text of each invariant by its key; inherited ones only where they are defined."""
    found: dict[str, dict[str, str]] = {path: dict(texts) for path, texts in RULES_BY_HAND.items()}
    for structure in structures(definitions):
        if structure["id"] in NOT_LISTED:
            continue
        for element in structure["snapshot"]["element"]:
            for constraint in element.get("constraint", []):
                source = constraint.get("source", structure["url"])
                repeated = constraint["key"] in found.get(structure["id"], {})
                if constraint["severity"] == "error" and source == structure["url"] and not repeated:
                    found.setdefault(element["path"], {})[constraint["key"]] = " ".join(constraint["human"].split())
    return {path: dict(sorted(found[path].items())) for path in sorted(found)}


def bindings(definitions: Path, known: set[str]) -> dict[str, dict[str, Any]]:
    """Return value set and codes of required bindings whose paths are not known."""
    found = {path: (f"http://hl7.org/fhir/ValueSet/{name}", codes) for path, (name, codes) in BINDINGS_BY_HAND.items()}
    for structure in structures(definitions):
        for element in structure["snapshot"]["element"]:
            binding = element.get("binding", {})
            if binding.get("strength") == "required" and LIST_OF_CODES.fullmatch(element["short"]):
                found[element["path"]] = (binding["valueSet"].partition("|")[0], element["short"])
    return {
        path: {"valueSet": found[path][0], "codes": found[path][1].split(" | ")}
        for path in sorted(found)
        if path not in known
    }


def simple_quantities(definitions: Path) -> list[str]:
    """Return the paths of elements that are a SimpleQuantity, choices without `[x]`."""
    return sorted(
        element["path"].removesuffix("[x]")
        for structure in structures(definitions)
        for element in structure["snapshot"]["element"]
        for kind in element.get("type", [])
        if any(url.endswith("/SimpleQuantity") for url in kind.get("profile", []))
    )


def write(name: str, value: dict[str, Any] | list[str]) -> None:
    """Write one data file."""
    path = DATA / name
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", "utf-8")
    print(f"{name}: {path.stat().st_size:,} bytes")


def main() -> None:
    """Write the data files."""
    definitions = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT.parent / "shared" / "data" / "definitions"
    write("validation_rules.json", rules(definitions))
    write("validation_simple_quantities.json", simple_quantities(definitions))
    known = set(json.loads((DATA / "bindings.json").read_text("utf-8")))
    write("validation_bindings.json", bindings(definitions, known))


if __name__ == "__main__":
    main()

"""Write `capability/data/validation_rules.json` from the published R4 definitions (deterministic; inputs: CC0-1.0).

    python scripts/generate_validation.py [DEFINITIONS]

DEFINITIONS is the folder that holds `r4/` (default: `../shared/data/definitions`). The output lists the invariants of
severity `error` per element path, with their text; which of them are checked is up to `fhir_server/validation`.
"""

import gzip
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "capability" / "data" / "validation_rules.json"
KINDS = {"resource", "complex-type"}

BY_HAND = {
    "MedicationAdministration.dosage": {"mad-1": "SHALL have at least one of dosage.dose or dosage.rate[x]"},
    "MedicationDispense": {"mdd-1": "whenHandedOver cannot be before whenPrepared"},
}
"""Invariants of R4 types whose structure definitions are not among the inputs."""


NOT_LISTED = {"CapabilityStatement", "ElementDefinition"}
"""Types that describe FHIR itself: their rules are for publishers of specifications."""


def rules(lines: list[str]) -> dict[str, dict[str, str]]:
    """Return, per element path, the text of each invariant by its key; inherited ones only where they are defined."""
    found: dict[str, dict[str, str]] = {path: dict(texts) for path, texts in BY_HAND.items()}
    for line in lines:
        structure: dict[str, Any] = json.loads(line)
        if structure["kind"] not in KINDS or structure.get("derivation") == "constraint":
            continue
        if structure["id"] in NOT_LISTED:
            continue
        for element in structure["snapshot"]["element"]:
            for constraint in element.get("constraint", []):
                source = constraint.get("source", structure["url"])
                repeated = constraint["key"] in found.get(structure["id"], {})
                if constraint["severity"] == "error" and source == structure["url"] and not repeated:
                    found.setdefault(element["path"], {})[constraint["key"]] = " ".join(constraint["human"].split())
    return {path: dict(sorted(found[path].items())) for path in sorted(found)}


def main() -> None:
    """Write the data file."""
    definitions = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT.parent / "shared" / "data" / "definitions"
    with gzip.open(definitions / "r4" / "structure-definitions.ndjson.gz", "rt", encoding="utf-8") as lines:
        found = rules(list(lines))
    OUTPUT.write_text(json.dumps(found, ensure_ascii=False, indent=1) + "\n", "utf-8")
    print(f"{OUTPUT.name}: {OUTPUT.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()

"""Write `docs/mapping/<ResourceType>.md` from the declarations of the mappers.

python scripts/generate_mapping_docs.py
"""

from __future__ import annotations

from pathlib import Path

from mappers.documentation import mapped_types, mapping_page

TARGET = Path(__file__).resolve().parent.parent / "docs" / "mapping"


def main() -> None:
    """Write one page per resource type, and take away pages of types that have no mapper any more."""
    TARGET.mkdir(parents=True, exist_ok=True)
    for page in TARGET.glob("*.md"):
        page.unlink()
    for resource_type in mapped_types():
        (TARGET / f"{resource_type}.md").write_text(mapping_page(resource_type), encoding="utf-8")


if __name__ == "__main__":
    main()

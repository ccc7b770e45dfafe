"""The documentation says what the code does, and names nothing that is not there (style: keeping house)."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from capability.registry import REGISTRY, SYSTEM_INTERACTIONS, TYPE_INTERACTIONS
from capability.search_parameters import COMMON
from fhir_server.app import ADDRESSES
from fhir_server.cli.reference import commands
from fhir_server.settings import PREFIX, Settings

ROOT = Path(__file__).resolve().parents[2]
HAND_WRITTEN = [path for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")] if path.exists()]
TEXT = {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in HAND_WRITTEN}


def _generated() -> dict[str, str]:
    spec = importlib.util.spec_from_file_location("generate_docs", ROOT / "scripts/generate_docs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return dict(module.pages())


GENERATED = _generated()


@pytest.mark.parametrize("name", GENERATED)
def test_a_generated_page_is_what_the_code_says(name: str):
    assert TEXT.get(f"docs/{name}") == GENERATED[name], "run `make docs`"


def test_there_is_no_mapping_page_of_a_type_without_mapper():
    there = {name for name in TEXT if name.startswith("docs/mapping/")}
    assert there == {f"docs/{name}" for name in GENERATED if name.startswith("mapping/")}


def test_every_setting_is_documented_and_no_other_is_mentioned():
    known = {PREFIX + name.upper() for name in Settings.model_fields} | {"FHIR_SERVER_DATABASE_URL"}
    assert known - {PREFIX + "DATABASE_URL"} <= set(re.findall(r"FHIR_SERVER_[A-Z_]+", TEXT["docs/settings.md"]))
    for name, text in TEXT.items():
        mentioned = set(re.findall(r"\bFHIR_SERVER_[A-Z_]*[A-Z]\b", text))
        assert mentioned <= known, name


def test_every_command_is_documented_and_no_other_is_mentioned():
    for name in commands():
        assert f"## fhir-server {name}\n" in TEXT["docs/cli.md"]
    words = {tuple(name.split()) for name in commands()}
    first = {name[0] for name in words} | {"COMMAND"}
    for page, text in TEXT.items():
        for mentioned in re.findall(r"(?:`|^ {4}.*?)fhir-server ([a-z]+)\b", text, re.MULTILINE):
            assert mentioned in first, f"{page}: fhir-server {mentioned}"


def test_every_address_is_documented():
    whole = "\n".join(TEXT.values())
    for address in ADDRESSES:
        assert address in whole, address


def test_every_interaction_is_documented():
    for interaction in (*TYPE_INTERACTIONS, *SYSTEM_INTERACTIONS):
        assert interaction in TEXT["docs/fhir-api.md"], interaction


def test_every_search_parameter_is_documented():
    text = TEXT["docs/capability.md"]
    for name, served in REGISTRY.items():
        section = text.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
        for code in served.search_parameters:
            assert f"| `{code}` |" in (text if code in COMMON else section), f"{name}.{code}"


@pytest.mark.parametrize("page", TEXT)
def test_links_lead_to_files_that_are_there(page: str):
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", TEXT[page]):
        if not re.match(r"[a-z]+:", target):
            assert (ROOT / page).parent.joinpath(target).exists(), target

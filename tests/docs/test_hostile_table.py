"""What the documentation says a hostile client gets is tested by what it names (`smart.md` §16)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
SECTION: Final = "## What a hostile client gets"


def rows() -> list[str]:
    text = (ROOT / "docs/authorization.md").read_text().partition(SECTION)[2].partition("\n## ")[0]
    return [line for line in text.splitlines() if line.startswith("| ")][2:]


def test_there_is_a_row_for_each_attack():
    assert len(rows()) >= 25


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.split("|")[1].strip()[:40])
def test_smart_16_each_attack_names_its_answer_and_tests_that_there_are(row: str):
    attempt, answer, named = row.strip("| ").split(" | ")
    assert attempt
    assert answer
    source, found = "", 0
    for word in re.findall(r"`([a-z0-9_]+/test_\w+\.py|test_\w+)`", named):
        if word.endswith(".py"):
            source = (ROOT / "tests" / word).read_text()
        else:
            assert f"def {word}(" in source, word
            found += 1
    assert found

"""The data files of profiles are what `scripts/generate_profiles.py` makes of the published definitions."""

from __future__ import annotations

import gzip
import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEFINITIONS = ROOT.parent / "shared" / "data" / "definitions"


@pytest.mark.skipif(not DEFINITIONS.is_dir(), reason="the published definitions are not at hand")
def test_the_profiles_at_hand_are_those_that_are_published(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["generate_profiles.py", str(DEFINITIONS)])
    script = runpy.run_path(str(ROOT / "scripts" / "generate_profiles.py"))
    script["main"].__globals__["DATA"] = tmp_path
    script["main"]()
    made = sorted(tmp_path.iterdir())
    assert len(made) == 5
    for path in made:
        assert content(path) == content(ROOT / "capability" / "data" / path.name), path.name


def content(path: Path) -> bytes:
    data = path.read_bytes()
    return gzip.decompress(data) if path.suffix == ".gz" else data

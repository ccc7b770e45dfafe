"""docs/identity.md says the weights and thresholds that are used."""

from __future__ import annotations

from pathlib import Path

from storage.persons.blocks import LARGEST_BLOCK
from storage.persons.comparison import GENERATION, SIMILAR, WEIGHTS
from storage.persons.verdict import CERTAIN, MOST_OF_HOUSEHOLD, POSSIBLE

PAGE = (Path(__file__).parents[2] / "docs" / "identity.md").read_text()


def test_identity_the_page_has_every_weight_and_no_other():
    rows = [
        f"| {trait.value} | {level.value} | {weight} |"
        for trait, weights in WEIGHTS.items()
        for level, weight in weights.items()
    ]
    assert "\n".join(rows) in PAGE


def test_identity_the_page_says_the_thresholds():
    words = " ".join(PAGE.split())
    for said in (
        f"From {POSSIBLE} on a pair is *possible*",
        f"From {CERTAIN} on it is *certain*",
        f"weigh {MOST_OF_HOUSEHOLD} together at most",
        f"lie {GENERATION} years apart",
        f"Jaro-Winkler from {SIMILAR} on",
        f"more than {LARGEST_BLOCK} records",
    ):
        assert said in words

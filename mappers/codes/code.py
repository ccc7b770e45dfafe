"""The shapes of the code tables in this folder."""

from __future__ import annotations

from typing import NamedTuple


class Code(NamedTuple):
    """A code and its display name in the system of its table."""

    code: str
    display: str


class Biomarker(NamedTuple):
    """A lab value: its LOINC code, None where none is known, and the UCUM unit that the code is exact for."""

    code: Code | None
    ucum: str | None


class Metric(NamedTuple):
    """A wearable metric: its LOINC code, None where none is known, its UCUM unit and Observation category."""

    code: Code | None
    ucum: str
    category: str

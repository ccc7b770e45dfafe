"""What is aimed at: multiples of other servers' speed, scaled to the machine, and limits that hold anywhere.

The peers (HAPI FHIR JPA 8.8.0 and Helios hfs 0.2.7, without token checks, access rules, audit and validation) were
measured on one quiet machine, on which the bare stack made `BARE_READS` reads a second. Elsewhere, and on a noisy day,
both would be faster or slower by about what the bare stack is: goal here = factor × peer × bare here / `BARE_READS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

BARE_READS: Final = 9_500
"""Reads a second of the bare stack on the machine where the peers were measured: 2 workers, 16 connections."""
BARE_PAGES: Final = 4_600
BARE_FIXED: Final = 66_800


@dataclass(frozen=True, slots=True)
class Goal:
    """`peer` is the better peer's requests (or resources) per second; the others are factors of it."""

    peer: float
    first_step: float
    full: float

    def scaled(self, bare_reads: float) -> tuple[float, float]:
        """Return first step and full goal per second on a machine whose bare stack makes `bare_reads` a second."""
        here = self.peer * bare_reads / BARE_READS
        return self.first_step * here, self.full * here


@dataclass(frozen=True, slots=True)
class Limit:
    """A goal that is the same on any machine: at most (or at least) so much."""

    first_step: float
    full: float
    at_least: bool = False


SCENARIOS: Final = {
    "capability": Goal(51, 100, 200),
    "patient-read": Goal(7_576, 0.5, 1),
    "observation-read": Goal(11_477, 0.5, 1),
    "conditional-read": Goal(8_270, 0.5, 1),
    "patient-vread": Goal(4_668, 0.8, 1.5),
    "patient-history": Goal(4_043, 0.8, 2),
    "patient-by-name": Goal(804, 4, 8),
    "patient-by-identifier": Goal(784, 4, 8),
    "patient-by-birthdate": Goal(346, 4, 8),
    "vital-signs": Goal(221, 5, 12),
    "observation-by-code": Goal(537, 3, 8),
    "observation-chained": Goal(401, 3, 6),
    "medication-by-status": Goal(550, 3, 6),
    "medication-include": Goal(454, 3, 6),
    "careplan-by-category": Goal(581, 3, 8),
    "patient-revinclude": Goal(615, 3, 6),
    "everything": Goal(44, 8, 20),
    "observation-create": Goal(752, 1, 2),
    "observation-update": Goal(797, 1, 2),
    "transaction-50": Goal(35, 1.2, 3),
}
"""By the scenario's name in the driver, in its order: reads, searches, writes."""

LOADING: Final = {"sequential": Goal(1_100, 1.5, 3), "4 workers": Goal(1_802, 1.5, 3)}
"""Bundles posted one by one, and four at a time; resources a second."""

LOAD_COMMAND: Final = Limit(2_000, 2_000, at_least=True)
"""Resources a second of `fhir-server load`."""
MEGABYTE: Final = 1_000_000
WORKER_MEMORY: Final = Limit(150, 150)
"""Megabytes of the largest worker after the run."""
SERVER_MEMORY: Final = Limit(300, 250)
"""Megabytes of all server processes, 2 workers."""
DISK: Final = Limit(3_000, 2_500)
"""Bytes a resource: rows, store, index, history; audit apart."""
READY: Final = Limit(1.5, 1.5)
"""Seconds from the start of `serve` to the first 200 of /readyz."""

GRAPH_MILLISECONDS: Final = {"profile": 45.0, "labs": 120.0, "daily-stats": 25.0, "lab-create": 180.0}
"""p95 of the patient graph API's scenarios (bench/graph.py), at 50 connections; of creations at 8."""
GRAPH_READINGS: Final = 2_500
"""Readings of wearables a second, shown in FHIR and aggregated."""
GRAPH_AUDITED: Final = 0.8
"""Reads with the audit, of those without, at 64 connections."""

"""What a server takes: memory and processor time of its processes, bytes in its database."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg

KIB: Final = 1024
AUDIT_BYTES: Final = (
    "SELECT pg_total_relation_size('audit_seals') + (SELECT sum(pg_total_relation_size(relid))"
    " FROM pg_partition_tree('rbac_logs'))::bigint"
)
"""Of a table divided into partitions each has its own size, and the whole none."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes: `rss` counts pages that processes share in each of them, `pss` shares them out."""

    rss: int
    pss: int


def processes_memory(pid: int) -> list[Memory]:
    """Return the memory of a process and of each of its descendants, the largest first."""
    members = [_memory(member) for member in _family(pid)]
    return sorted((each for each in members if each is not None), key=lambda each: each.rss, reverse=True)


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process and its descendants took until now, those that ended included."""
    ticks = sum(_ticks(member) for member in _family(pid))
    return ticks / os.sysconf("SC_CLK_TCK")


def _ticks(pid: int) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(map(int, fields[11:15]))  # utime, stime, cutime, cstime (proc(5))


def _memory(pid: int) -> Memory | None:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return None
    sizes = {name: value.split()[0] for name, _, value in (line.partition(":") for line in lines[1:])}
    return Memory(int(sizes["Rss"]) * KIB, int(sizes["Pss"]) * KIB)


def _family(pid: int) -> set[int]:
    parents = {int(entry.name): _parent(entry) for entry in Path("/proc").iterdir() if entry.name.isdigit()}
    family = {pid}
    while children := {member for member, parent in parents.items() if parent in family} - family:
        family |= children
    return family


def _parent(entry: Path) -> int | None:
    try:
        return int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return None


def audit_bytes(dsn: str) -> int:
    """Return the size of the audit trail's tables, indexes included."""
    with psycopg.connect(dsn) as connection:
        row = connection.execute(AUDIT_BYTES).fetchone()
    return int(row[0]) if row else 0

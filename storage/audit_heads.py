"""Heads of the audit trail outside the database (security AD-4): one signed line an hour for each trail.

Who cuts records and seals off the end of a trail leaves nothing in the database that tells of it. The newest seal of
each hour, kept in a file elsewhere, does.
"""

from __future__ import annotations

import fcntl
import hmac
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from storage.audit import AuditKey

TAIL_BYTES: Final = 2**20
"""What is read of the end of the file to know which heads of this hour are in it: some 4,000 lines."""
HOUR: Final = len("2026-11-22T01")


class HeadsUnreadable(Exception):
    """A file of heads has a line that this installation did not write; the message says which."""


@dataclass(frozen=True, slots=True)
class Head:
    """The newest seal of a trail; `hash` in hexadecimal."""

    organization_id: str
    trail: str
    sequence: int
    hash: str


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    at: str
    organization: str
    trail: str
    sequence: int
    hash: str
    mac: str

    def signed(self, key: AuditKey) -> str:
        """Return the HMAC over all else."""
        return key.mac(("head", self.at, self.organization, self.trail, self.sequence, self.hash)).hex()


def append_heads(path: Path, heads: Sequence[Head], key: AuditKey, now: datetime) -> int:
    """Add the heads that the file has no line of in this hour, and return how many; it is made for its owner alone.

    Workers share the file. Raises OSError.
    """
    at = now.isoformat(timespec="seconds")
    with _locked(path) as file:
        known = _noted_in(file, at[:HOUR])
        lines = [
            msgspec.structs.replace(line, mac=line.signed(key))
            for line in (_Line(at, each.organization_id, each.trail, each.sequence, each.hash, "") for each in heads)
            if (line.organization, line.trail) not in known
        ]
        os.lseek(file, 0, os.SEEK_END)
        os.write(file, b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
        os.fsync(file)
    return len(lines)


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file
    finally:
        os.close(file)


def _noted_in(file: int, hour: str) -> set[tuple[str, str]]:
    """Return organization and trail of the lines of an hour; half a line at the end, left by a crash, is cut off."""
    size = os.fstat(file).st_size
    start = max(0, size - TAIL_BYTES)
    tail = os.pread(file, size - start, start)
    whole = tail.rfind(b"\n") + 1
    if whole < len(tail):
        os.ftruncate(file, start + whole)
    lines = tail[:whole].splitlines()[1 if start else 0 :]
    noted = (msgspec.json.decode(line, type=_Line) for line in lines if f'"at":"{hour}'.encode() in line)
    return {(line.organization, line.trail) for line in noted}


def read_heads(path: Path, key: AuditKey) -> Mapping[tuple[str, str], Mapping[int, str]]:
    """Return the hashes of seals by sequence, of each organization and trail.

    Raises HeadsUnreadable for a line that was altered or that another installation wrote, and OSError.
    """
    found: dict[tuple[str, str], dict[int, str]] = {}
    with path.open("rb") as file:
        for number, each in enumerate(file, 1):
            line = _checked(each, key)
            if line is None:
                raise HeadsUnreadable(f"line {number} of {path} was not written under this installation's secret")
            hashes = found.setdefault((line.organization, line.trail), {})
            if hashes.setdefault(line.sequence, line.hash) != line.hash:
                raise HeadsUnreadable(f"line {number} of {path} contradicts an earlier one: the trail was replaced")
    return found


def _checked(text: bytes, key: AuditKey) -> _Line | None:
    try:
        line = msgspec.json.decode(text, type=_Line)
    except msgspec.DecodeError:
        return None
    return line if hmac.compare_digest(line.signed(key), line.mac) else None

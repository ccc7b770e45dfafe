"""Value sets of R4 and US Core, expanded as far as their code systems are at hand (terminologies.html).

The data (`scripts/generate_profiles.py` writes it) is read when a value set is first asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

import msgspec

from capability.data_files import packed_lines

ANY_SYSTEM = "*"


@dataclass(frozen=True, slots=True)
class ValueSet:
    """One value set. `codes` are the known ones by system; all codes of the systems in `whole` belong to it.

    Of the systems in `open` (ANY_SYSTEM: of all) it is not known which further codes belong to it.
    """

    url: str
    version: str
    codes: Mapping[str, frozenset[str]]
    whole: frozenset[str]
    open: frozenset[str]

    def has(self, system: str | None, code: str) -> bool | None:
        """Say whether a code is in the value set; None when that is not known. Without a system, in any of them."""
        if system is None:
            if self.whole or any(code in codes for codes in self.codes.values()):
                return True
            return None if self.open else False
        if code in self.codes.get(system, ()) or system in self.whole:
            return True
        return None if system in self.open or ANY_SYSTEM in self.open else False


def find_value_set(url: str, version: str | None = None) -> ValueSet | None:
    """Return a value set by its URL, which may end in `|version`; None when it is not at hand.

    `version` only prefers one where several are at hand: the package that asks comes with its own value sets.
    """
    url, _, stated = url.partition("|")
    versions = _value_sets().get(url)
    if versions is None:
        return None
    return versions.get(stated or version or "") or (None if stated else next(iter(versions.values())))


@cache
def _value_sets() -> Mapping[str, Mapping[str, ValueSet]]:
    """Return the value sets by URL, then by version, the newest first."""
    found: dict[str, dict[str, ValueSet]] = {}
    for line in packed_lines("value_sets.ndjson.gz"):
        row = msgspec.json.decode(line)
        value_set = ValueSet(
            row["url"],
            row["version"],
            MappingProxyType({system: frozenset(codes) for system, codes in row["codes"].items()}),
            frozenset(row.get("whole", ())),
            frozenset(row.get("open", ())),
        )
        found.setdefault(value_set.url, {})[value_set.version] = value_set
    return found

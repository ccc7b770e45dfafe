"""What merges refuse; each is a state of affairs that somebody has to look at first.

StorageError
└── MergeRefused          the message says why, in words for who reviews
    ├── AlreadyMerged     a record is merged already; `into` says which one stands for it
    └── NotOpen           the pair or the merge is not, or no longer, open; `status` says what it is
"""

from __future__ import annotations

from storage.errors import StorageError
from storage.projection.person_records import Record


class MergeRefused(StorageError):
    """Two records cannot be merged."""


class AlreadyMerged(MergeRefused):
    """A record is merged already: merge the one that stands for it, or end that merge first."""

    def __init__(self, record: Record, into: Record) -> None:
        super().__init__(f"{record[0]}/{record[1]} is merged into {into[0]}/{into[1]}")
        self.record = record
        self.into = into


class NotOpen(MergeRefused):
    """A pair was reviewed, or a merge has ended."""

    def __init__(self, what: str, status: str) -> None:
        super().__init__(f"the {what} is {status}")
        self.status = status

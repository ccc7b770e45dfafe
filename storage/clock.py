"""Clock and id source, taken as parameters so that tests can replay a run (settled §4.8)."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Final
from uuid import UUID

_COUNTER_BITS = 21
_COUNTER_MASK = (1 << _COUNTER_BITS) - 1
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def epoch_milliseconds() -> int:
    """Return the wall clock in milliseconds since 1970 UTC."""
    return time.time_ns() // 1_000_000


def epoch_microseconds() -> int:
    """Return the wall clock in microseconds since 1970 UTC."""
    return time.time_ns() // 1000


def microseconds_at(moment: datetime) -> int:
    """Return an instant, which names its zone, in microseconds since 1970 UTC, exactly."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


@dataclass(slots=True)
class IdSource:
    """Makes resource ids (UUIDv7, RFC 9562 §5.7) and int8 surrogates; both ascend with time within a process."""

    milliseconds: Callable[[], int] = epoch_milliseconds
    random_bits: Callable[[int], int] = secrets.randbits
    _counter: count[int] = field(default_factory=lambda: count(secrets.randbits(_COUNTER_BITS)))

    def uuid7(self) -> str:
        """Return a new UUIDv7 as text; the key of rows and resources made here."""
        value = (self.milliseconds() & ((1 << 48) - 1)) << 80 | 0x7 << 76 | self.random_bits(12) << 64
        return str(UUID(int=value | 0b10 << 62 | self.random_bits(62)))

    def surrogate(self) -> int:
        """Return a new positive int8: 42 bits of milliseconds, 21 bits of a counter with a random start.

        Two processes that hit the same number in the same millisecond meet a unique constraint; the unit of work is
        then run again.
        """
        return (self.milliseconds() << _COUNTER_BITS | next(self._counter) & _COUNTER_MASK) & ((1 << 63) - 1)

"""How the C library keeps what was freed: few heaps, and what a large bundle took is given back (mallopt(3)).

It matters to glibc alone; other C libraries lack these functions, and nothing happens there.
"""

from __future__ import annotations

import ctypes
import os
from typing import Final

LARGE: Final = 131_072
"""Bytes from which a block is given back to the system as soon as it is freed."""

_OPTIONS: Final = {
    "MALLOC_TRIM_THRESHOLD_": (-1, LARGE),
    "MALLOC_MMAP_THRESHOLD_": (-3, LARGE),
    "MALLOC_ARENA_MAX": (-8, 2),
}
"""glibc's variables of the environment, which have precedence, with number and value of the option (malloc.h)."""


def keep_small() -> None:
    """Set the options for this process and those forked from it; before it has threads, or they have heaps already."""
    mallopt = _function("mallopt")
    for variable, (option, value) in _OPTIONS.items():
        if mallopt is not None and variable not in os.environ:
            mallopt(option, value)


def give_back() -> None:
    """Give pages of the heap that hold nothing back to the system."""
    trim = _function("malloc_trim")
    if trim is not None:
        trim(ctypes.c_size_t(0))


def _function(name: str) -> ctypes._NamedFuncPointer | None:
    found: ctypes._NamedFuncPointer | None = getattr(ctypes.CDLL(None), name, None)
    return found

"""What a large bundle took goes back to the system (glibc; mallopt(3), malloc_trim(3))."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import pytest

HOLES = """
import os, resource
from pathlib import Path
from fhir_server.heap import LARGE, give_back, keep_small
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
keep_small()
blocks = [b"x" * (LARGE - 4096) for _ in range(400)]
last = blocks.pop()
blocks.clear()
held = resident()
give_back()
print(held - resident())
"""
"""Leaves freed blocks below one that is in use, which glibc keeps by itself."""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="a C library without malloc_trim")
def test_freed_blocks_below_one_in_use_are_given_back():
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    run = subprocess.run([sys.executable, "-c", HOLES], env=environment, capture_output=True, timeout=60, check=True)
    assert int(run.stdout) > 30_000_000

"""Asks the bare stack with wrk, in the way the driver asks the servers: a closed loop over prepared paths."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.processes import BenchFailed, run

CONNECTIONS: Final = 16
"""As many as when the 9,500 reads a second of `goals.BARE_READS` were measured."""
MARK: Final = "RESULT "
SCRIPT: Final = """
local paths = {%(paths)s}
local prepared = {}
local position = 0
function init(args)
  for number, path in ipairs(paths) do prepared[number] = wrk.format("GET", path) end
end
function request()
  position = position + 1
  return prepared[position %% #prepared + 1]
end
function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format('%(mark)s{"rate": %%.3f, "p50": %%.4f, "errors": %%d}\\n',
    summary.requests / summary.duration * 1e6, latency:percentile(50) / 1e3,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"""


@dataclass(frozen=True, slots=True)
class Measured:
    """Requests a second, and the median latency in milliseconds."""

    rate: float
    p50: float


def require_wrk() -> None:
    """Raise BenchFailed when there is no wrk on this machine."""
    if shutil.which("wrk") is None:
        raise BenchFailed("wrk is not installed: apt-get install wrk (or build https://github.com/wg/wrk).")


def ask(origin: str, paths: Sequence[str], seconds: int, folder: Path) -> Measured:
    """Ask for the paths in turn; raises BenchFailed when anything but success was answered."""
    script = folder / "bare.lua"
    quoted = ", ".join(json.dumps(path) for path in paths)
    script.write_text(SCRIPT % {"paths": quoted, "mark": MARK})
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", str(script), origin]
    lines = [line for line in run(command, os.environ, folder).splitlines() if line.startswith(MARK)]
    if not lines:
        raise BenchFailed("wrk printed no result for the bare stack.")
    result = json.loads(lines[0].removeprefix(MARK))
    if result["errors"]:
        raise BenchFailed(f"The bare stack answered {result['errors']} requests with an error ({paths[0]}).")
    return Measured(result["rate"], result["p50"])

"""Asks a server with wrk, in the way the driver asks: a closed loop over prepared requests."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from bench.processes import BenchFailed, run

CONNECTIONS: Final = 16
"""As many as when the 9,500 reads a second of `goals.BARE_READS` were measured."""
MARK: Final = "RESULT "
SCRIPT: Final = """
local paths = {%(paths)s}
local headers = {%(headers)s}
local prepared = {}
local position = 0
function init(args)
  local body = nil
  if args[1] then body = io.open(args[1], "rb"):read("*a") end
  for number, path in ipairs(paths) do
    prepared[number] = wrk.format(body and "POST" or "GET", path, headers, body)
  end
end
function request()
  position = position + 1
  return prepared[position %% #prepared + 1]
end
function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format('%(mark)s{"rate": %%.3f, "p50": %%.4f, "p99": %%.4f, "errors": %%d}\\n',
    summary.requests / summary.duration * 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"""


@dataclass(frozen=True, slots=True)
class Measured:
    """Requests a second, and latencies in milliseconds."""

    rate: float
    p50: float
    p99: float


NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})


def require_wrk() -> None:
    """Raise BenchFailed when there is no wrk on this machine."""
    if shutil.which("wrk") is None:
        raise BenchFailed("wrk is not installed: apt-get install wrk (or build https://github.com/wg/wrk).")


def ask(
    origin: str,
    paths: Sequence[str],
    seconds: int,
    folder: Path,
    *,
    headers: Mapping[str, str] = NO_HEADERS,
    connections: int = CONNECTIONS,
    body: Path | None = None,
) -> Measured:
    """Ask for the paths in turn, by POST where there is a body; raises BenchFailed for any answer but success."""
    script = folder / "requests.lua"
    quoted = ", ".join(json.dumps(path) for path in paths)
    pairs = ", ".join(f"[{json.dumps(name)}] = {json.dumps(value)}" for name, value in headers.items())
    script.write_text(SCRIPT % {"paths": quoted, "headers": pairs, "mark": MARK})
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script), origin]
    command += ["--", str(body)] if body else []
    lines = [line for line in run(command, os.environ, folder).splitlines() if line.startswith(MARK)]
    if not lines:
        raise BenchFailed(f"wrk printed no result for {origin}.")
    result = json.loads(lines[0].removeprefix(MARK))
    if result["errors"]:
        raise BenchFailed(f"{origin} answered {result['errors']} requests with an error ({paths[0]}).")
    return Measured(result["rate"], result["p50"], result["p99"])

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
PATIENCE: Final = 20
"""Seconds after which an answer is an error; until then it is slow, which the percentiles tell."""
MARK: Final = "RESULT "
SCRIPT: Final = """
local paths = {%(paths)s}
local headers = {%(headers)s}
local bearers = {%(bearers)s}
local prepared = {}
local position = 0
function init(args)
  local body = nil
  if args[1] then body = io.open(args[1], "rb"):read("*a") end
  for number, path in ipairs(paths) do
    if #bearers > 0 then headers["Authorization"] = bearers[(number - 1) %% #bearers + 1] end
    prepared[number] = wrk.format(body and "POST" or "GET", path, headers, body)
  end
end
function request()
  position = position + 1
  return prepared[position %% #prepared + 1]
end
"""
DONE: Final = """
function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format('%(mark)s{"rate": %%.3f, "p50": %%.4f, "p95": %%.4f, "p99": %%.4f, "errors": %%d}\\n',
    summary.requests / summary.duration * 1e6, latency:percentile(50) / 1e3, latency:percentile(95) / 1e3,
    latency:percentile(99) / 1e3, errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"""
EACH: Final = """
local bodies = {}
local position = 0
function init(args)
  for line in io.lines(args[1]) do bodies[#bodies + 1] = line end
end
function request()
  position = position + 1
  return wrk.format("POST", %(path)s, {%(headers)s}, bodies[position] or "")
end
"""


@dataclass(frozen=True, slots=True)
class Measured:
    """Requests a second, and latencies in milliseconds."""

    rate: float
    p50: float
    p99: float
    p95: float = 0.0


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
    bearers: Sequence[str] = (),
) -> Measured:
    """Ask for the paths in turn, by POST where there is a body; raises BenchFailed for any answer but success.

    `bearers` are access tokens that take turns with the paths.
    """
    script = folder / "requests.lua"
    quoted = ", ".join(json.dumps(path) for path in paths)
    tokens = ", ".join(json.dumps(f"Bearer {token}") for token in bearers)
    script.write_text(SCRIPT % {"paths": quoted, "headers": _pairs(headers), "bearers": tokens} + DONE % {"mark": MARK})
    return _measured(script, origin, paths[0], seconds, connections, *([body] if body else []))


def post_each(
    origin: str,
    path: str,
    bodies: Sequence[str],
    seconds: int,
    folder: Path,
    *,
    headers: Mapping[str, str],
    connections: int = CONNECTIONS,
) -> Measured:
    """Post each body, of one line, once; raises BenchFailed when one is refused, and when there were not enough."""
    script, file = folder / "bodies.lua", folder / "bodies.txt"
    file.write_text("\n".join(bodies))
    script.write_text(EACH % {"path": json.dumps(path), "headers": _pairs(headers)} + DONE % {"mark": MARK})
    return _measured(script, origin, path, seconds, connections, file)


def _pairs(headers: Mapping[str, str]) -> str:
    return ", ".join(f"[{json.dumps(name)}] = {json.dumps(value)}" for name, value in headers.items())


def _measured(script: Path, origin: str, asked: str, seconds: int, connections: int, *arguments: Path) -> Measured:
    options = ["-t1", f"-c{connections}", f"-d{seconds}s", f"--timeout={PATIENCE}s"]
    command: list[str | Path] = ["wrk", *options, "-s", script, origin]
    command += ["--", *arguments] if arguments else []
    lines = [line for line in run(command, os.environ, script.parent).splitlines() if line.startswith(MARK)]
    if not lines:
        raise BenchFailed(f"wrk printed no result for {origin}.")
    result = json.loads(lines[0].removeprefix(MARK))
    if result["errors"]:
        raise BenchFailed(f"{origin} answered {result['errors']} requests with an error ({asked}).")
    return Measured(result["rate"], result["p50"], result["p99"], result["p95"])

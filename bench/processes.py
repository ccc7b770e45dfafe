"""Child processes that end when the measuring ends, however it ends."""

from __future__ import annotations

import http.client
import itertools
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

Command = Sequence[str | Path]
STOP_SECONDS: Final = 40
POLL_SECONDS: Final = 0.005
FRAMES: Final = re.compile("[\u2500-\u257f]+")


class BenchFailed(Exception):
    """Measuring cannot go on; the message says why and what to do."""


def free_port() -> int:
    """Return a TCP port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run(command: Command, environment: Mapping[str, str], folder: Path) -> str:
    """Run a command to its end and return what it printed; raises BenchFailed with its last words."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder, check=False)
    except FileNotFoundError:
        raise BenchFailed(f"There is no command {command[0]}.") from None
    if done.returncode != 0:
        raise BenchFailed(f"{_shown(command)} ended with {done.returncode}: {_one_line(done.stderr)}")
    return done.stdout


def run_shown(command: Command, environment: Mapping[str, str], folder: Path) -> int:
    """Run a command whose progress, on stderr, is for the person at the terminal; return its exit status.

    What it printed on stdout is dropped. When this process is interrupted, it ends with all it started.
    """
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment, cwd=folder, start_new_session=True)
    try:
        return process.wait()
    finally:
        _end(process)


def _shown(command: Command) -> str:
    """Return the command's name and subcommands: no options, which may hold tokens, and no files."""
    words = [word for word in command[1:] if isinstance(word, str)]
    return " ".join([Path(command[0]).name, *itertools.takewhile(lambda word: not word.startswith("-"), words)])


@contextmanager
def service(
    command: Command, environment: Mapping[str, str], folder: Path, log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process in the background, in a process group of its own, and end it with SIGTERM.

    Whatever of the group is still there after that, such as workers of a supervisor that was slow, is killed.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=environment, cwd=folder, start_new_session=True
        )
    try:
        yield process
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    process.terminate()
    deadline = time.monotonic() + STOP_SECONDS
    while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
        if time.monotonic() > deadline:
            break
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)  # not reaped yet: the number of the group is still ours
    process.wait()


def wait_until_ok(process: subprocess.Popen[bytes], port: int, path: str, log: Path, *, seconds: float = 60) -> None:
    """Return as soon as the path answers 200; raises BenchFailed when the process ends or takes too long."""
    deadline = time.monotonic() + seconds
    while not _is_ok(port, path):
        if process.poll() is not None:
            raise BenchFailed(
                f"The process ended with {process.returncode}: {_one_line(log.read_text(errors='replace'))}"
            )
        if time.monotonic() > deadline:
            raise BenchFailed(
                f"{path} did not answer 200 within {seconds} s: {_one_line(log.read_text(errors='replace'))}"
            )
        time.sleep(POLL_SECONDS)


def _is_ok(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _one_line(text: str) -> str:
    """Return the end of what a process said, without the frames that it drew."""
    return " ".join(FRAMES.sub(" ", text).split())[-1000:]


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into SystemExit, so that `finally` and context managers run."""

    def leave(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def printed(measure: Callable[[], Iterable[str]]) -> int:
    """Print the lines that a measurement gives, and return the status to end with: 2 when it was not possible."""
    with ended_by_signals():
        try:
            lines = list(measure())
        except BenchFailed as failure:
            print(f"bench: {failure}", file=sys.stderr)
            return 2
    print("\n".join(lines))
    return 0

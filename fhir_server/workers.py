"""Several worker processes, forked from one that has loaded the whole server, so that they share what it loaded.

uvicorn's supervisor starts, watches, replaces and ends the workers; only how a worker comes to be is ours. Where
forking is not safe (anywhere but on Linux), its own way stays: every worker loads everything for itself.
"""

from __future__ import annotations

import gc
import importlib
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.context import ForkProcess
from socket import socket
from typing import Final

import uvicorn
from uvicorn.supervisors import multiprocess

from fhir_server.heap import give_back

CAN_FORK: Final = sys.platform == "linux"
"""Elsewhere system libraries may hold threads that a fork leaves half alive."""


def supervise(config: uvicorn.Config, application: str) -> None:
    """Serve with `config.workers` processes until a signal ends them.

    `application` is the module whose import loads the server.
    """
    if CAN_FORK:
        _load(application)
        multiprocess.get_subprocess = _worker  # type: ignore[attr-defined, assignment]  # as good as a spawned one
    multiprocess.Multiprocess(config, sockets=[config.bind_socket()]).run()


def _load(application: str) -> None:
    """Import the server, and put its objects where no collection writes to the pages that they lie on."""
    gc.disable()  # what an import makes stays; looking for garbage meanwhile only costs time
    importlib.import_module(application)
    gc.enable()
    gc.collect()
    give_back()
    gc.freeze()


class _Worker(ForkProcess):
    """A forked worker; signals wait until they can no longer reach the handlers that it has from its parent."""

    def start(self) -> None:
        """Fork."""
        with _signals_held():
            super().start()

    def run(self) -> None:
        """Serve, in the new process, with the handlers of a fresh one."""
        for number in multiprocess.SIGNALS:
            default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, default)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, multiprocess.SIGNALS)
        try:
            super().run()
        except KeyboardInterrupt:
            return  # the supervisor has it too, and says so


@contextmanager
def _signals_held() -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, multiprocess.SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _worker(config: uvicorn.Config, target: Callable[..., None], sockets: list[socket]) -> ForkProcess:
    """Return a worker that is not started yet, as uvicorn's `get_subprocess` does."""

    def serve() -> None:
        config.configure_logging()
        target(sockets=sockets)

    return _Worker(target=serve)


__all__ = ["CAN_FORK", "supervise"]

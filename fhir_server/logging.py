"""Structured logs: one JSON object a line, on stderr, without patient data (security PH-1).

Own modules log words and ids of their own through structlog. Of other libraries' messages only the template is kept,
since their arguments may quote values; of an exception its class and where it was raised, never its text.
"""

from __future__ import annotations

import logging
import sys
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any, Final, TextIO

import structlog
from structlog.typing import EventDict, WrappedLogger

FRAMES: Final = 12
LONGEST_TEMPLATE: Final = 200
QUIET: Final = ("uvicorn.access",)
"""Loggers that name paths and query strings."""

ExceptionInfo = tuple[type[BaseException], BaseException, TracebackType | None]


def configure_logging(level: str, stream: TextIO | None = None) -> None:
    """Send everything from `level` (debug, info, warning, error) on to `stream`, by default stderr."""
    least = logging.getLevelNamesMapping()[level.upper()]
    processors: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        describe_exception,
        structlog.processors.JSONRenderer(),
    ]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=structlog.WriteLoggerFactory(stream or sys.stderr),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers = [_Forward()]
    root.setLevel(max(least, logging.INFO))
    for name in QUIET:
        logging.getLogger(name).disabled = True


def describe_exception(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replace an exception by its classes, outermost first, and the places it passed, innermost last."""
    info = event.pop("exc_info", None)
    if info is True:
        info = sys.exc_info()
    if isinstance(info, BaseException):
        info = (type(info), info, info.__traceback__)
    if isinstance(info, tuple) and info[1] is not None:
        event["exception"] = _classes(info[1])
        event["raised_at"] = [
            f"{Path(frame.filename).name}:{frame.lineno} {frame.name}"
            for frame in traceback.extract_tb(info[2])[-FRAMES:]
        ]
    return event


def _classes(error: BaseException | None) -> list[str]:
    names: list[str] = []
    while error is not None and len(names) < FRAMES:
        names.append(f"{type(error).__module__}.{type(error).__qualname__}")
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return names


class _Forward(logging.Handler):
    """Hands what other libraries log to structlog, without their arguments."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log the template of a record."""
        template = str(record.msg).partition("\n")[0][:LONGEST_TEMPLATE]
        logger = structlog.get_logger(record.name)
        logger.log(record.levelno, "library_message", library=record.name, template=template, exc_info=record.exc_info)

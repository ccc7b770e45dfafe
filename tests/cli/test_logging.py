"""Logs without patient data (security PH-1)."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from fhir_server.logging import configure_logging

CANARY = "Canary-Name-Of-A-Patient"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    written = io.StringIO()
    configure_logging("info", written)
    yield written
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()
    logging.getLogger("uvicorn.access").disabled = False


def lines(stream: io.StringIO) -> list[dict]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_json_object_with_level_and_time(stream: io.StringIO):
    structlog.get_logger("x").info("started", port=8000)
    (line,) = lines(stream)
    assert (line["event"], line["level"], line["port"]) == ("started", "info", 8000)
    assert line["timestamp"].endswith("Z")


def test_what_is_below_the_level_is_left_out(stream: io.StringIO):
    structlog.get_logger("x").debug("details")
    assert not lines(stream)


def test_an_exception_is_its_class_and_places_never_its_text(stream: io.StringIO):
    def fail() -> None:
        try:
            raise KeyError(CANARY)
        except KeyError as error:
            raise ValueError(CANARY) from error

    try:
        fail()
    except ValueError:
        structlog.get_logger("x").exception("failed")
    (line,) = lines(stream)
    assert line["exception"] == ["builtins.ValueError", "builtins.KeyError"]
    assert line["raised_at"][-1].endswith(" fail")
    assert CANARY not in stream.getvalue()


def test_arguments_of_other_libraries_messages_are_left_out(stream: io.StringIO):
    logging.getLogger("psycopg").warning("row %s refused", CANARY)
    try:
        raise RuntimeError(CANARY)
    except RuntimeError:
        logging.getLogger("asyncio").exception("Task exception was never retrieved\nfuture: <%s>", CANARY)
    first, second = lines(stream)
    assert (first["library"], first["template"]) == ("psycopg", "row %s refused")
    assert second["template"] == "Task exception was never retrieved"
    assert second["exception"] == ["builtins.RuntimeError"]
    assert CANARY not in stream.getvalue()


def test_paths_and_queries_of_the_access_log_are_left_out(stream: io.StringIO):
    logging.getLogger("uvicorn.access").info("GET /fhir/Patient?name=%s", CANARY)
    assert not lines(stream)

"""Parameters and rows as they travel (`storage/libpq.py`): what was sent comes back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

import psycopg
import pytest

from storage.libpq import array, wire_parameters, wire_statement
from storage.wire import Wire
from tests.postgres import PostgresServer


class Word(StrEnum):
    """A word of a closed list."""

    ONE = "one"


@pytest.fixture
async def line(postgres: PostgresServer) -> AsyncIterator[Wire]:
    wire = await Wire.connect(postgres.fresh(), "")
    yield wire
    await wire.close()


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("text", 'a "quoted" \\ word, ü'),
        ("text", ""),
        ("text", None),
        ("text", Word.ONE),
        ("int8", -(2**63)),
        ("int8", 2**63 - 1),
        ("int2", -3),
        ("bool", True),
        ("bool", False),
        ("bytea", b"\x00\xff{}"),
        ("bytea", b""),
        ("numeric", Decimal("1.10")),
        ("date", date(2024, 2, 29)),
        ("timestamptz", datetime(2024, 2, 29, 12, 30, 0, 1, UTC)),
    ],
)
async def test_a_value_comes_back_as_it_was_sent(line: Wire, kind: str, value: Any) -> None:
    ((back,),) = await line.fetch(wire_statement(f"SELECT %(value)s::{kind}"), {"value": value})
    assert back == value
    many = await line.fetch(wire_statement(f"SELECT unnest(%(value)s::{kind}[])"), {"value": [value, None]})
    assert many == [(value,), (None,)]


@pytest.mark.parametrize("value", ["a\0b", ["a", "\0"], "\0"])
def test_text_that_libpq_would_cut_off_is_refused(value: Any) -> None:
    with pytest.raises(psycopg.DataError, match="NUL"):
        wire_parameters([value])


def test_arrays_hold_nothing_beside_what_was_given() -> None:
    assert array(['a,b}"\\', None, 1, b"\x01", True]) == b'{"a,b}\\"\\\\",NULL,1,"\\\\x01",True}'
    assert array([]) == b"{}"
    assert array([1, -2]) == b"{1,-2}"
    assert array(["a", "", "{,}"]) == b'{"a","","{,}"}'
    assert array(['"', "b"]) == b'{"\\"","b"}'
    assert array(["\\"]) == b'{"\\\\"}'

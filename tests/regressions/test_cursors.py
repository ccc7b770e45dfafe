"""Links that the server made itself are good (fhir_rest Q3)."""

from __future__ import annotations

from base64 import urlsafe_b64decode
from dataclasses import replace
from random import Random
from string import ascii_letters, digits

import pytest

from storage.errors import CursorExpired, CursorInvalid
from storage.search.cursor import LIFETIME_MILLISECONDS, CursorSealer
from storage.search.query import Search
from tests.regressions.shop import SYSTEM


def test_fhir_Q3_a_cursor_over_the_longest_sort_keys_there_can_be_is_read_again() -> None:
    random = Random(7)
    place = ["".join(chr(random.randrange(0x10000, 0x110000)) for _ in range(200)) for _ in range(5)]
    sealer, search = CursorSealer(b"x" * 32), Search("Patient")
    cursor = sealer.make(search, SYSTEM, [*place, 2**62], 0)
    assert len(cursor) > 4_096
    assert sealer.read(replace(search, cursor=cursor), SYSTEM, 0) == [*place, 2**62]


def test_security_AZ10_a_cursor_tells_nothing_and_is_good_for_one_caller_and_one_search() -> None:
    """Its place holds sort keys, which are values of resources, and a mark of what others wrote."""
    sealer, search = CursorSealer(b"x" * 32), Search("Patient")
    cursor = sealer.make(search, SYSTEM, [False, "753:760:755", "chalmers", 7], 0)
    opened = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    assert not any(word in opened for word in (b"753", b"chalmers", b"alse"))
    assert sealer.make(search, SYSTEM, [False, "753:760:755", "chalmers", 7], 0) == cursor
    same = replace(search, cursor=cursor)
    assert sealer.read(same, SYSTEM, 0) == [False, "753:760:755", "chalmers", 7]
    foreign = [
        (CursorSealer(b"y" * 32), same, SYSTEM),
        (sealer, replace(same, resource_type="Observation"), SYSTEM),
        (sealer, replace(same, address="Patient/a/Patient"), SYSTEM),
        (sealer, replace(same, parameters=(("name", "x"),)), SYSTEM),
        (sealer, same, replace(SYSTEM, actor="other")),
        (sealer, same, replace(SYSTEM, organization_id="other")),
        (sealer, same, replace(SYSTEM, patient="a")),
    ]
    foreign += [(sealer, replace(search, cursor=text), SYSTEM) for text in _changed(cursor)]
    for reader, asked, caller in foreign:
        with pytest.raises(CursorInvalid):
            reader.read(asked, caller, 0)
    with pytest.raises(CursorExpired):
        sealer.read(same, SYSTEM, LIFETIME_MILLISECONDS + 1)


def test_security_AZ10_the_length_of_a_cursor_does_not_tell_how_many_write() -> None:
    sealer, search = CursorSealer(b"x" * 32), Search("Patient")
    marks = ("753:760:", "753:760:755", "10753:10760:10755,10757")
    assert len({len(sealer.make(search, SYSTEM, [False, mark, 7], 0)) for mark in marks}) == 1


def _changed(cursor: str) -> list[str]:
    letters = ascii_letters + digits + "-_"
    other = [
        cursor[:at] + letters[(letters.index(cursor[at]) + 1) % len(letters)] + cursor[at + 1 :]
        for at in range(len(cursor))
    ]
    return [*other, *(cursor[:end] for end in range(len(cursor))), f"{cursor}=", f"{cursor}A", "ä", "a b", "."]

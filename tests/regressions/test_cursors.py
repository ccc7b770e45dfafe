"""Links that the server made itself are good (fhir_rest Q3)."""

from __future__ import annotations

from base64 import urlsafe_b64decode
from dataclasses import replace
from random import Random
from string import ascii_letters, digits

import pytest

from storage.errors import CursorExpired, CursorInvalid
from storage.search.cursor import LIFETIME_MILLISECONDS, CursorSigner
from storage.search.query import Search
from tests.regressions.shop import SYSTEM


def test_fhir_Q3_a_cursor_over_the_longest_sort_keys_there_can_be_is_read_again() -> None:
    random = Random(7)
    place = ["".join(chr(random.randrange(0x10000, 0x110000)) for _ in range(200)) for _ in range(5)]
    signer, search = CursorSigner(b"x" * 32), Search("Patient")
    cursor = signer.make(search, SYSTEM, [*place, 2**62], 0)
    assert len(cursor) > 4_096
    assert signer.read(replace(search, cursor=cursor), SYSTEM, 0) == [*place, 2**62]


def test_sec_AZ_10_a_cursor_tells_nothing_and_is_good_for_one_caller_and_one_search() -> None:
    """Its place holds sort keys, which are values of resources, and a mark of what others wrote."""
    signer, search = CursorSigner(b"x" * 32), Search("Patient")
    cursor = signer.make(search, SYSTEM, [False, "753:760:755", "chalmers", 7], 0)
    opened = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    assert not any(word in opened for word in (b"753", b"chalmers", b"alse"))
    assert signer.make(search, SYSTEM, [False, "753:760:755", "chalmers", 7], 0) == cursor
    same = replace(search, cursor=cursor)
    assert signer.read(same, SYSTEM, 0) == [False, "753:760:755", "chalmers", 7]
    foreign = [
        (CursorSigner(b"y" * 32), same, SYSTEM),
        (signer, replace(same, resource_type="Observation"), SYSTEM),
        (signer, replace(same, address="Patient/a/Patient"), SYSTEM),
        (signer, replace(same, parameters=(("name", "x"),)), SYSTEM),
        (signer, same, replace(SYSTEM, actor="other")),
        (signer, same, replace(SYSTEM, organization_id="other")),
        (signer, same, replace(SYSTEM, patient="a")),
    ]
    foreign += [(signer, replace(search, cursor=text), SYSTEM) for text in _changed(cursor)]
    for reader, asked, caller in foreign:
        with pytest.raises(CursorInvalid):
            reader.read(asked, caller, 0)
    with pytest.raises(CursorExpired):
        signer.read(same, SYSTEM, LIFETIME_MILLISECONDS + 1)


def _changed(cursor: str) -> list[str]:
    letters = ascii_letters + digits + "-_"
    other = [
        cursor[:at] + letters[(letters.index(cursor[at]) + 1) % len(letters)] + cursor[at + 1 :]
        for at in range(len(cursor))
    ]
    return [*other, *(cursor[:end] for end in range(len(cursor))), f"{cursor}=", f"{cursor}A", "ä", "a b", "."]

"""Links that the server made itself are good (fhir_rest Q3)."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from storage.search.cursor import CursorSigner
from storage.search.query import Search
from tests.regressions.shop import SYSTEM


def test_fhir_Q3_a_cursor_over_the_longest_sort_keys_there_can_be_is_read_again() -> None:
    random = Random(7)
    place = ["".join(chr(random.randrange(0x10000, 0x110000)) for _ in range(200)) for _ in range(5)]
    signer, search = CursorSigner(b"x" * 32), Search("Patient")
    cursor = signer.make(search, SYSTEM, [*place, 2**62], 0)
    assert len(cursor) > 4_096
    assert signer.read(replace(search, cursor=cursor), SYSTEM, 0) == [*place, 2**62]

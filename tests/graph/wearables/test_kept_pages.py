"""Pages of daily statistics that a worker keeps: as long as they are as good as new ones, and no more than fit."""

from __future__ import annotations

from typing import NoReturn

from fhir_server.graph.daily_stats import KEPT_SECONDS, OVERHEAD, DailyStatsCache, KeptPage, Question
from storage.repositories.table import Window

JANE, JOHN, ELSEWHERE = ("acme", "jane"), ("acme", "john"), ("other", "jane")
QUESTION = Question("glucose", None, None, Window())
PAGE = KeptPage(b"{}", ("s1",), 1)


class Ear:
    """A watch that hears what a test tells."""

    is_listening = True

    async def run(self) -> NoReturn:
        raise AssertionError("nobody runs it")


class Desk(DailyStatsCache):
    """A cache with a clock."""

    at = 1000.0

    def __init__(self, most_bytes: int = 100_000) -> None:
        super().__init__(lambda: self.at, most_bytes)
        self.ear = Ear()
        self.watch = self.ear

    def put(self, whose: tuple[str, str], question: Question = QUESTION, page: KeptPage = PAGE) -> None:
        ticket = self.open(whose)
        self.keep(ticket, question, page)
        self.close(ticket)


def test_a_page_is_kept_for_five_minutes() -> None:
    desk = Desk()
    desk.put(JANE)
    desk.at += KEPT_SECONDS - 1
    assert desk.find(JANE, QUESTION) == PAGE
    desk.at += 1
    assert desk.find(JANE, QUESTION) is None


def test_a_page_is_one_customer_s_and_one_question_s() -> None:
    desk = Desk()
    desk.put(JANE)
    assert desk.find(JOHN, QUESTION) is None
    assert desk.find(ELSEWHERE, QUESTION) is None
    assert desk.find(JANE, Question("glucose", None, None, Window(20, 20))) is None


def test_what_changes_is_forgotten_and_nothing_else() -> None:
    desk = Desk()
    for forgotten, left in (
        (("acme", ("jane",)), {JOHN, ELSEWHERE}),
        (("acme", ()), {ELSEWHERE}),
        ((None, ()), set()),
    ):
        for whose in (JANE, JOHN, ELSEWHERE):
            desk.put(whose)
        desk.forget(*forgotten)
        assert {whose for whose in (JANE, JOHN, ELSEWHERE) if desk.find(whose, QUESTION)} == left


def test_a_page_that_changed_while_it_was_read_is_not_kept() -> None:
    for change in (("acme", ("jane",)), ("acme", ()), (None, ())):
        desk = Desk()
        ticket = desk.open(JANE)
        other = desk.open(JOHN)
        desk.forget(*change)
        desk.keep(ticket, QUESTION, PAGE)
        desk.close(ticket)
        desk.keep(other, QUESTION, PAGE)
        desk.close(other)
        assert desk.find(JANE, QUESTION) is None
        assert (desk.find(JOHN, QUESTION) is not None) == (change == ("acme", ("jane",)))


def test_while_changes_would_not_be_heard_of_nothing_is_kept_and_nothing_kept_is_given() -> None:
    desk = Desk()
    desk.put(JANE)
    desk.ear.is_listening = False
    assert desk.find(JANE, QUESTION) is None
    desk.put(JOHN)
    desk.ear.is_listening = True
    assert desk.find(JOHN, QUESTION) is None


def test_no_more_is_kept_than_fits_the_longest_unused_goes_first() -> None:
    size = OVERHEAD + len(PAGE.body) + 2
    desk = Desk(most_bytes=2 * size)
    desk.put(JANE)
    desk.put(JOHN)
    desk.find(JANE, QUESTION)
    desk.put(ELSEWHERE)
    assert [bool(desk.find(whose, QUESTION)) for whose in (JANE, JOHN, ELSEWHERE)] == [True, False, True]
    desk.put(JOHN, page=KeptPage(b"x" * 3 * size, (), 0))  # larger than all that fits
    assert not any(desk.find(whose, QUESTION) for whose in (JANE, JOHN, ELSEWHERE))


def test_a_page_that_is_kept_again_takes_its_room_once() -> None:
    desk = Desk(most_bytes=OVERHEAD + len(PAGE.body) + 2)
    for _ in range(5):
        desk.put(JANE)
    assert desk.find(JANE, QUESTION) == PAGE

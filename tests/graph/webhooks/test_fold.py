"""Laws of orders: their events add up to the same, in whatever order they are told, and however often."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from storage.orders.event import STATES, OrderEvent, instant_of
from storage.orders.fold import Order, fold
from storage.repositories.prescription_states import NEXT, STAMPS, may_follow
from storage.tables.enums import PrescriptionStatus as Status

START = datetime(2026, 3, 20, tzinfo=UTC)

values: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"medication_name": st.just("Semaglutide"), "dosage": st.sampled_from(["0.25mg", "0.5mg"])},
    optional={"tracking_number": st.sampled_from(["a", "b"]), "quantity": st.integers(0, 9)},
)
events = st.lists(
    st.builds(
        OrderEvent,
        st.integers(0, 30).map(str),
        st.sampled_from(list(STATES)),
        st.integers(0, 5).map(lambda hours: START + timedelta(hours=hours)),
        st.just("order"),
        st.just("treatment"),
        values,
    ),
    min_size=1,
    max_size=8,
    unique_by=lambda event: event.id,
)


def told(*kinds: str) -> Order:
    """Return what events add up to, an hour from one to the next."""
    made = [
        OrderEvent(str(at), f"order.{kind}", START + timedelta(hours=at), "order", "treatment")
        for at, kind in enumerate(kinds)
    ]
    found = fold(made)
    assert found is not None
    return found


@given(events, st.data())
def test_any_order_of_arrival_and_any_repetition_gives_the_same(known: list[OrderEvent], data: st.DataObject) -> None:
    repeated = known + data.draw(st.lists(st.sampled_from(known), max_size=8))
    assert fold(data.draw(st.permutations(repeated))) == fold(known)


@given(events)
def test_states_move_along_the_machine_only_and_every_event_is_told_of(known: list[OrderEvent]) -> None:
    found = fold(known)
    assert found is not None
    assert {step.event.id for step in found.steps} == {event.id for event in known}
    state: Status | None = None
    for step in found.steps:
        if not step.is_refused and step.event.state is not None:
            assert state is None or may_follow(state, step.event.state)
            state = step.event.state
        elif step.is_refused:
            assert step.event.state not in {*step.allowed, step.before}  # type: ignore[misc]
    assert found.status == (state or Status.PENDING)


@given(events)
def test_the_stamp_of_a_state_is_the_time_of_the_event_that_brought_it(known: list[OrderEvent]) -> None:
    found = fold(known)
    assert found is not None
    counted = [step.event for step in found.steps if not step.is_refused]
    for status, column in STAMPS.items():
        times = [event.occurred_at for event in counted if event.state is status]
        assert found.columns[column] == (min(times) if times else None)


def test_of_nothing_comes_nothing() -> None:
    assert fold([]) is None


def test_a_transmission_that_failed_may_be_tried_again() -> None:
    assert told("created", "processing", "failed", "processing", "transmitted").status is Status.TRANSMITTED


def test_steps_may_be_left_out_and_none_goes_back() -> None:
    assert told("created", "delivered").status is Status.DELIVERED
    assert told("shipped", "processing").status is Status.SHIPPED
    assert told("shipped", "cancelled").status is Status.SHIPPED


def test_what_is_delivered_or_cancelled_stays_so() -> None:
    assert NEXT[Status.DELIVERED] == NEXT[Status.CANCELLED] == frozenset()


def test_what_a_later_event_leaves_out_stays() -> None:
    at = instant_of("2026-03-20T10:00:00+02:00")
    first = OrderEvent("1", "order.created", at, "order", "treatment", {"quantity": 4, "dosage": "0.25mg"})
    later = OrderEvent("2", "order.shipped", at, "order", "treatment", {"dosage": "0.5mg"})
    found = fold([later, first])
    assert found is not None
    assert (found.columns["quantity"], found.columns["dosage"]) == (4, "0.5mg")
    assert found.columns["shipped_at"] == datetime(2026, 3, 20, 8, tzinfo=UTC)

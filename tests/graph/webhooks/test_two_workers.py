"""Two workers take the events of one order at the same time: one prescription, in the right state."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from storage.tables.patient_graph import patient_events, patient_prescriptions, subscriptions
from storage.tables.webhooks import webhook_events
from tests.graph.kit import JANE, GraphSite
from tests.graph.webhooks.pharmacy import Pharmacy, life
from tests.site import running_site

AT_ONCE = 8


@pytest.fixture(scope="module")
def pharmacies(graph_site: GraphSite, pharmacy: Pharmacy) -> Iterator[tuple[Pharmacy, Pharmacy]]:
    """The pharmacy, and the same at another worker on the same database."""
    with running_site(graph_site.site.settings.database_url, graph_webhook_limit=None) as other:
        made = Pharmacy(other.settings.base_url, pharmacy.secret)
        yield pharmacy, made
        made.client.close()


def told_at_once(
    pharmacies: tuple[Pharmacy, Pharmacy], deliveries: list[tuple[str, dict[str, Any]]]
) -> list[httpx.Response]:
    """Deliver events by both workers, several at the same time; a delivery that was in the way is sent again."""

    def tell(numbered: tuple[int, tuple[str, dict[str, Any]]]) -> httpx.Response:
        number, (event_id, what) = numbered
        for _ in range(5):
            told = pharmacies[number % 2].tell(event_id, what)
            if told.status_code < 500:
                return told
        return told

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(tell, enumerate(deliveries)))


@pytest.mark.parametrize("seed", range(3))
def test_an_order_told_three_times_in_shuffled_order_by_two_workers_is_one_prescription(
    seed: int, graph_site: GraphSite, pharmacies: tuple[Pharmacy, Pharmacy], treat: Any, numbers: tuple[str, str]
) -> None:
    order, rimo = numbers
    treatment = treat(rimo)
    deliveries = list(life(order, rimo).items()) * 3
    random.Random(seed).shuffle(deliveries)
    answers = told_at_once(pharmacies, deliveries)
    assert {each.status_code for each in answers} == {200}
    [row] = graph_site.rows(select(patient_prescriptions).where(patient_prescriptions.c.rimo_order_id == order))
    assert (row["status"], row["customer_id"], row["treatment_id"]) == ("delivered", JANE.customer, treatment)
    assert [row[f"{name}_at"].hour for name in ("transmitted", "shipped", "delivered")] == [11, 18, 21]
    [started] = graph_site.rows(select(subscriptions.c.started_at).where(subscriptions.c.id == treatment))
    assert started["started_at"].hour == 18
    mine = patient_events.c.type.like("prescription_%")
    entries = graph_site.rows(select(patient_events.c.data).where(mine))
    assert len([each for each in entries if each["data"].get("orderId") == order]) == 5
    [kept] = graph_site.rows(select(func.count()).where(webhook_events.c.subject_id == order))
    assert next(iter(kept.values())) == 5


def test_the_same_event_at_both_workers_is_applied_once_and_answered_alike(
    graph_site: GraphSite, pharmacies: tuple[Pharmacy, Pharmacy], treat: Any, numbers: tuple[str, str]
) -> None:
    order, rimo = numbers
    treat(rimo)
    [first, *_] = life(order, rimo).items()
    answers = told_at_once(pharmacies, [first] * 16)
    assert len({each.text for each in answers}) == 1
    assert {each.status_code for each in answers} == {200}
    found = graph_site.rows(select(patient_prescriptions).where(patient_prescriptions.c.rimo_order_id == order))
    assert len(found) == 1


def test_no_event_is_left_waiting_when_its_treatment_is_approved_meanwhile(
    graph_site: GraphSite, staff: httpx.Client, pharmacies: tuple[Pharmacy, Pharmacy], treat: Any
) -> None:
    for number in range(6):
        order, rimo = f"order_meanwhile_{number}", f"rimo_meanwhile_{number}"
        treatment = treat(rimo, status="pending")
        with ThreadPoolExecutor(1) as pool:
            telling = pool.submit(told_at_once, pharmacies, list(life(order, rimo).items()))
            approved = staff.patch(f"/treatments/{treatment}", json={"status": "approved"})
            telling.result()
        assert approved.status_code == 200, approved.text
        [row] = graph_site.rows(select(patient_prescriptions).where(patient_prescriptions.c.rimo_order_id == order))
        assert row["status"] == "delivered"

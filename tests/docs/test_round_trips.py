"""docs/round-trips.md shows what happens on both engines, over HTTP and in SQL."""

from __future__ import annotations

import pytest

from mappers.registry import MAPPERS
from tests.docs.round_trip_cases import ROUND_TRIPS
from tests.docs.round_trips import PAGE, Recorded, differences, first, page, record_all

SOURCES = {
    "customer_profiles", "lab_results", "patient_prescriptions", "subscriptions", "protocols",
    "patient_wearable_readings", "patients", "observations", "patient_medications", "enrollments", "profiles",
}  # fmt: skip


@pytest.fixture(scope="module")
def recorded(database_url: str) -> dict[str, Recorded]:
    """Every round trip, made once on each engine."""
    return record_all(database_url)


def test_the_page_shows_what_happens(recorded: dict[str, Recorded]):
    assert PAGE.read_text("utf-8") == page(recorded), "run `make docs`"


@pytest.mark.parametrize("trip", ROUND_TRIPS, ids=lambda trip: trip.table)
def test_a_client_changes_columns_of_the_row(recorded: dict[str, Recorded], trip):
    made = recorded[trip.resource]
    assert made.after != made.before


@pytest.mark.parametrize("trip", ROUND_TRIPS, ids=lambda trip: trip.table)
def test_nothing_that_changes_is_left_out_of_the_page(recorded: dict[str, Recorded], trip):
    made = recorded[trip.resource]
    elements = [*trip.changes, *(path for path, *_ in differences(made.read, made.later or made.read))]
    assert set(trip.unshown).isdisjoint(map(first, elements))
    columns = {first(path) for path, *_ in differences(made.before, made.after)}
    assert columns <= set(map(first, trip.columns))


def test_there_is_a_round_trip_of_each_source_table():
    assert {trip.table for trip in ROUND_TRIPS} == SOURCES
    assert {mapper.table for mapper in MAPPERS} >= SOURCES

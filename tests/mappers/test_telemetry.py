"""The rules of the telemetry class: which readings are shown, and when an open day is shown again (settled §3.2)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappers.codes.metrics import METRICS
from mappers.telemetry import (
    OPEN_DAY_PACE,
    Detail,
    SettingRefused,
    Telemetry,
    next_due,
    read_setting,
    read_telemetry,
)
from storage.tables.enums import WearableDataType

MINUTE = 60_000


@pytest.mark.parametrize("settings", [{}, {"timezone": "Europe/Madrid"}, None, {"telemetry": {}}])
def test_each_reading_is_shown_where_nothing_is_said(settings: Any) -> None:
    assert read_setting(settings) == Telemetry()
    assert read_setting(settings).shows("glucose")


def test_a_metric_follows_what_is_said_of_it_and_the_others_the_default() -> None:
    said = read_setting({"telemetry": {"default": "daily", "metrics": {"weight": "each"}}})
    assert (said.of("weight"), said.of("glucose"), said.of("a metric no table knows")) == (
        Detail.EACH, Detail.DAILY, Detail.DAILY,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("said", "place"),
    [
        (None, "telemetry has to be an object"),
        ("daily", "telemetry has to be an object"),
        ([], "telemetry has to be an object"),
        ({"defaults": "daily"}, "telemetry may name: default, metrics"),
        ({"default": "hourly"}, "telemetry.default has to be one of: each, daily"),
        ({"default": "DAILY"}, "telemetry.default"),
        ({"default": None}, "telemetry.default"),
        ({"default": ["daily"]}, "telemetry.default"),
        ({"metrics": ["glucose"]}, "telemetry.metrics has to be an object"),
        ({"metrics": {"mood": "daily"}}, "telemetry.metrics may name: "),
        ({"metrics": {"glucose": "never"}}, "telemetry.metrics.glucose has to be one of"),
    ],
)
def test_words_that_nobody_understands_are_refused(said: Any, place: str) -> None:
    with pytest.raises(SettingRefused) as refused:
        read_setting({"telemetry": said})
    assert str(refused.value).startswith(place)


@given(
    st.builds(
        Telemetry, st.sampled_from(Detail), st.dictionaries(st.sampled_from(list(METRICS)), st.sampled_from(Detail))
    )
)
def test_a_setting_says_again_what_was_read(setting: Telemetry) -> None:
    assert read_telemetry(setting.to_json()) == setting


def test_every_metric_that_rows_may_have_can_be_set() -> None:
    assert set(WearableDataType) <= set(METRICS)


@pytest.mark.parametrize(
    ("pace", "minutes", "due"),
    [
        (None, 0, None),
        (OPEN_DAY_PACE, 0, 15),
        (OPEN_DAY_PACE, 14, 15),
        (OPEN_DAY_PACE, 15, None),
        (OPEN_DAY_PACE, 16, None),
    ],
)
def test_an_open_day_is_shown_again_a_quarter_of_an_hour_after_its_last_version(
    pace: timedelta | None, minutes: int, due: int | None
) -> None:
    shown_at = 1_700_000_000_000
    expected = None if due is None else shown_at + due * MINUTE
    assert next_due(pace, shown_at, shown_at + minutes * MINUTE) == expected

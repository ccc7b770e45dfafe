"""The report of `make bench`: goals scaled to the machine, misses shown and nothing hidden."""

import pytest

from bench import goals
from bench.goals import BARE_READS, Goal, Limit
from bench.report import Report, limit_row, scaled_row
from bench.run import parse_options
from tests.conftest import SHARED

GOAL = Goal(peer=1_000, first_step=0.5, full=2)


def test_on_the_machine_of_the_peers_a_goal_is_a_multiple_of_the_peers_figure():
    assert GOAL.scaled(BARE_READS) == (500, 2_000)


def test_where_the_bare_stack_is_half_as_fast_so_is_the_goal():
    assert GOAL.scaled(BARE_READS / 2) == (250, 1_000)


@pytest.mark.parametrize(
    ("value", "at_least", "reached"),
    [(100, True, True), (99, True, False), (101, False, False), (100, False, True), (None, True, False)],
)
def test_a_ratio_of_one_or_more_is_a_goal_reached(value, at_least, reached):
    row = limit_row("memory", Limit(100, 100, at_least=at_least), value, " MB")

    assert (row.ratio(100) >= 1) is reached


def test_the_table_shows_what_passes_and_what_does_not():
    report = Report(rows=[scaled_row("read", GOAL, BARE_READS, 1_000, p50=1.25)])

    assert "| read | 1,000/s | 1.2 |  | ≥ 500 | 2.00 | pass | ≥ 2,000 | 0.50 | FAIL |" in report.markdown()
    assert "Of 1 figures 1 reach the first step and 0 the goal." in report.markdown()


def test_what_was_not_measured_fails_and_says_why():
    report = Report(rows=[scaled_row("read", GOAL, BARE_READS, None, note="unsupported: 404")])

    assert "| read | unsupported: 404 |  |  | ≥ 500 |  | FAIL |" in report.markdown()


@pytest.mark.skipif(not (SHARED / "bench").is_dir(), reason="the driver is not here")
def test_every_scenario_of_the_driver_has_a_goal():
    source = (SHARED / "bench" / "scenarios.py").read_text("utf-8")

    assert [name for name in goals.SCENARIOS if f'"{name}"' not in source and name != "transaction-50"] == []
    assert source.count("    Scenario(") == len(goals.SCENARIOS)


def test_a_scenario_that_does_not_exist_is_refused(capsys):
    with pytest.raises(SystemExit):
        parse_options(["--only", "patient-read,patient-lead"])

    assert "no such scenario: patient-lead" in capsys.readouterr().err


def test_quick_and_an_option_of_its_own_go_together():
    options = parse_options(["--quick", "--seconds", "2", "--only", "patient-read"])

    assert (options.pace.seconds, options.pace.repeat, options.only) == (2, 1, {"patient-read"})

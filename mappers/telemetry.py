"""Rules of the telemetry class (settled §3.2): which readings FHIR shows, and how often the statistics of an open day.

An organization says in `settings.telemetry` what it wants of each metric's readings:
`{"default": "each", "metrics": {"glucose": "daily"}}`. `each`, which is also the default where nothing is said: every
reading is an Observation. `daily`: readings stay rows, and FHIR shows the statistics of the day alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Final

from mappers.codes.metrics import METRICS
from mappers.json_values import Json

OPEN_DAY_PACE: Final = timedelta(minutes=15)
"""How long a version of an open day stands before the next one, at least."""

SETTING: Final = "telemetry"
"""Member of `organizations.settings`."""
_DEFAULT: Final = "default"
_METRICS: Final = "metrics"


class Detail(StrEnum):
    """What FHIR shows of a metric's readings."""

    EACH = "each"
    DAILY = "daily"


class SettingRefused(ValueError):
    """A telemetry setting says what nobody understands; the message names the place and what may stand there."""


@dataclass(frozen=True, slots=True)
class Telemetry:
    """The setting of one organization: a metric that `metrics` does not name follows `default`."""

    default: Detail = Detail.EACH
    metrics: Mapping[str, Detail] = field(default_factory=dict)

    def of(self, metric: str) -> Detail:
        """Return what is shown of a metric's readings; of one that no table knows as well."""
        return self.metrics.get(metric, self.default)

    def shows(self, metric: str) -> bool:
        """Whether each reading of a metric is a resource."""
        return self.of(metric) is Detail.EACH

    def to_json(self) -> dict[str, Json]:
        """Return the setting as it stands in `organizations.settings.telemetry`."""
        return {
            _DEFAULT: self.default.value,
            _METRICS: {name: self.metrics[name].value for name in sorted(self.metrics)},
        }


def next_due(pace: timedelta | None, shown_at: int, now: int) -> int | None:
    """Return when a row that changed is to be shown again; None: at once.

    `shown_at` is when its current version was written; instants are milliseconds since 1970 UTC.
    """
    if pace is None:
        return None
    due = shown_at + pace // timedelta(milliseconds=1)
    return due if due > now else None


def read_setting(settings: Json) -> Telemetry:
    """Return the telemetry setting of `organizations.settings`; raises SettingRefused."""
    if not isinstance(settings, dict) or SETTING not in settings:
        return Telemetry()
    return read_telemetry(settings[SETTING])


def read_telemetry(said: Json) -> Telemetry:
    """Return the setting that `organizations.settings.telemetry` says; raises SettingRefused."""
    members = _object(said, SETTING, (_DEFAULT, _METRICS))
    metrics = _object(members.get(_METRICS, {}), f"{SETTING}.{_METRICS}", tuple(METRICS))
    return Telemetry(
        _detail(members.get(_DEFAULT, Detail.EACH.value), f"{SETTING}.{_DEFAULT}"),
        {name: _detail(value, f"{SETTING}.{_METRICS}.{name}") for name, value in metrics.items()},
    )


def _object(said: Json, place: str, known: tuple[str, ...]) -> dict[str, Json]:
    if not isinstance(said, dict):
        raise SettingRefused(f"{place} has to be an object")
    if not said.keys() <= set(known):
        raise SettingRefused(f"{place} may name: {', '.join(known)}")
    return said


def _detail(said: Json, place: str) -> Detail:
    if not isinstance(said, str) or said not in set(Detail):
        raise SettingRefused(f"{place} has to be one of: {', '.join(Detail)}")
    return Detail(said)

"""Figures for Prometheus: how many requests, how long, how they ended. No ids, no values (security PH-1).

With several workers the processes share their figures through files (`PROMETHEUS_MULTIPROC_DIR`, which `serve` sets),
so that `/metrics` of any worker tells of all.
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from fhir_server.fhir.routing import Route

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
DIRECTORY_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

_SECONDS: Final = Histogram(
    "fhir_request_seconds", "Time to answer a FHIR request.", ("interaction",), buckets=_BUCKETS
)
_ANSWERS: Final = Counter("fhir_answers", "FHIR requests answered.", ("interaction", "type", "status"))


@lru_cache(maxsize=4096)
def _answers(interaction: str, resource_type: str, status: int) -> Counter:
    return _ANSWERS.labels(interaction, resource_type, str(status))


@lru_cache(maxsize=64)
def _seconds(interaction: str) -> Histogram:
    return _SECONDS.labels(interaction)


def observe(route: Route | None, status: int, seconds: float) -> None:
    """Count an answered request; `route` is None when its address was not looked at or is none."""
    interaction = route.interaction.value if route else "none"
    _answers(interaction, route.resource_type if route else "", status).inc()
    _seconds(interaction).observe(seconds)


def exposition() -> bytes:
    """Return all figures in Prometheus' text format."""
    if DIRECTORY_VARIABLE not in os.environ:
        return generate_latest(REGISTRY)
    shared = CollectorRegistry()
    MultiProcessCollector(shared)  # type: ignore[no-untyped-call]
    return generate_latest(shared)

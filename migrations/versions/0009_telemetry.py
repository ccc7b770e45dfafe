"""Telemetry: rows that FHIR shows later, readings shown by day only, and late data of closed days."""

from __future__ import annotations

from migrations.scripts import run_script

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    run_script(revision)

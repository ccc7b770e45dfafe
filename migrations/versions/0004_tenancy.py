"""Tenancy in every key of the patient graph, and the platform tables."""

from __future__ import annotations

from migrations.scripts import run_script

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    run_script(revision)

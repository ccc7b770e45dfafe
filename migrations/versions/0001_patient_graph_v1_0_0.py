"""The patient graph at v1.0.0."""

from __future__ import annotations

from migrations.scripts import run_script

revision = "0001"
down_revision = None


def upgrade() -> None:
    run_script(revision)

"""The patient graph at v1.2.0: treatments."""

from __future__ import annotations

from migrations.scripts import run_script

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    run_script(revision)

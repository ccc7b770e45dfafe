"""What apps keep for themselves: SMART App State."""

from __future__ import annotations

from migrations.scripts import run_script

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    run_script(revision)

"""The audit trail by months, what was retired of it, and what has to stay."""

from __future__ import annotations

from migrations.scripts import run_script

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    run_script(revision)

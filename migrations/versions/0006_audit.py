"""The audit trail."""

from __future__ import annotations

from migrations.scripts import run_script

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    run_script(revision)

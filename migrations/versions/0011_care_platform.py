"""The care platform: its tables, social accounts, the audit log by its name, and row-level security."""

from __future__ import annotations

from migrations.scripts import run_script

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    run_script(revision)

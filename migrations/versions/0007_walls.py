"""Capture of foreign changes, and on PostgreSQL the server's role and row-level security."""

from __future__ import annotations

from migrations.scripts import run_script

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    run_script(revision)

"""Indexes by which the histories of types are read, newest first."""

from __future__ import annotations

from migrations.scripts import run_script

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    run_script(revision)

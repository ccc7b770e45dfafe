"""Which versions brought their resource into being, and whether by POST or by PUT."""

from __future__ import annotations

from migrations.scripts import run_script

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    run_script(revision)

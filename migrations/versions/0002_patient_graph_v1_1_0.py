"""The patient graph at v1.1.0: wearable readings and daily statistics."""

from __future__ import annotations

from migrations.scripts import run_script

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    run_script(revision)

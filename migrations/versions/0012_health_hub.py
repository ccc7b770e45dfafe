"""The health hub: profiles, their connections to providers, and the records that were fetched there."""

from __future__ import annotations

from migrations.scripts import run_script

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    run_script(revision)

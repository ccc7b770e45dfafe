"""By which definition the search index of each organization was built."""

from __future__ import annotations

from migrations.scripts import run_script

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    run_script(revision)

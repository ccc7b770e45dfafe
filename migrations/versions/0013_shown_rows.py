"""Foreign writers' changes in all three systems, and the walk to what shows a changed row."""

from __future__ import annotations

from migrations.scripts import run_script

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    run_script(revision)

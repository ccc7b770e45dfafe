"""What the authorization server remembers: sessions, grants, codes, refresh tokens, launches."""

from __future__ import annotations

from migrations.scripts import run_script

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    run_script(revision)

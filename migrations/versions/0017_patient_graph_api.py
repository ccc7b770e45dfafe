"""What the patient graph API needs: rate limits, webhooks, and who is the same person."""

from __future__ import annotations

from migrations.scripts import run_script

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    run_script(revision)

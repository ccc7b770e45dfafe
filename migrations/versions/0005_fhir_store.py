"""The FHIR store."""

from __future__ import annotations

from migrations.scripts import run_script

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    run_script(revision)

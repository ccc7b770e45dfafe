"""Print the statements that make tables, as frozen text for a migration.

    python scripts/freeze_schema.py postgresql customer_profiles identity_mappings
    python scripts/freeze_schema.py sqlite --fhir
    python scripts/freeze_schema.py postgresql --care --views
    python scripts/freeze_schema.py postgresql --triggers --security

Migrations never build statements from the tables of today: what they did to a database has to stay what it was.
"""

from __future__ import annotations

import argparse
import re

from sqlalchemy import Table
from sqlalchemy.schema import CreateIndex, CreateTable

from storage import rls, triggers
from storage.sql import DIALECTS
from storage.tables import (
    app_state,
    audit,
    authorization,
    care_platform,
    fhir,
    health_hub,
    patient_graph,
    platform,
)
from storage.tables.metadata import metadata
from storage.tables.views import view_statements

GROUPS = {
    "graph": patient_graph.TENANT_TABLES,
    "care": (platform.social_accounts, *care_platform.TENANT_TABLES),
    "hub": health_hub.TENANT_TABLES,
    "platform": platform.PLATFORM_TABLES,
    "authorization": authorization.AUTHORIZATION_TABLES,
    "fhir": (
        *fhir.TENANT_TABLES,
        fhir.outbox,
        fhir.projection_guard,
        fhir.projections_due,
        fhir.telemetry_settings,
        fhir.shown_rows,
        fhir.rerenders,
    ),
    "audit": audit.TENANT_TABLES,
    "app-state": app_state.TENANT_TABLES,
}


def statements_of(table: Table, dialect: str) -> list[str]:
    """Return CREATE TABLE and CREATE INDEX of one table."""
    made = [
        CreateTable(table),
        *(CreateIndex(index) for index in sorted(table.indexes, key=lambda each: str(each.name))),
    ]
    return [re.sub(r"\s+\n", "\n", str(each.compile(dialect=DIALECTS[dialect]))).strip() for each in made]


def main() -> None:
    """Print what the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dialect", choices=sorted(DIALECTS))
    parser.add_argument("tables", nargs="*")
    for group in GROUPS:
        parser.add_argument(f"--{group}", action="store_true")
    parser.add_argument("--views", action="store_true")
    parser.add_argument("--triggers", action="store_true")
    parser.add_argument("--security", action="store_true")
    arguments = parser.parse_args()
    tables = [metadata.tables[name] for name in arguments.tables]
    for group, members in GROUPS.items():
        if getattr(arguments, group.replace("-", "_")):
            tables.extend(members)
    printed = [statement for table in tables for statement in statements_of(table, arguments.dialect)]
    if arguments.views:
        printed.extend(view_statements(arguments.dialect))
    if arguments.triggers:
        printed.extend(triggers.trigger_statements(arguments.dialect))
    if arguments.security:
        printed.extend(rls.security_statements())
    for statement in printed:
        print(f"{statement.strip()};\n")


if __name__ == "__main__":
    main()

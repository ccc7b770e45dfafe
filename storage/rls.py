"""Row-level security on PostgreSQL: the second wall between organizations (security TN-2).

The statements are built from the tables, so that a new table cannot be forgotten: a test compares what they say with
what a migrated database has. Migrations hold them as frozen text.
"""

# ruff: noqa: S608 every name in these statements is our own

from __future__ import annotations

from typing import Final

from sqlalchemy import Table

from storage.tables import (
    app_state,
    audit,
    authorization,
    care_platform,
    fhir,
    health_hub,
    identity,
    limits,
    patient_graph,
    platform,
    webhooks,
)
from storage.tables.columns import SHARED
from storage.tables.views import VIEWS

ROLE: Final = "fhir_server_app"
"""The role that the server takes: owns nothing, bypasses nothing."""

POLICY: Final = "organization"
CONDITION: Final = "organization_id = (SELECT current_setting('app.organization_id', true))"
"""Run once per statement, when the first row is asked for. Without the SELECT the planner looks at the setting itself
while it plans, where a read's context is not set yet: it then expects no row at all and takes any index."""

TENANT_TABLES: Final[tuple[Table, ...]] = (
    *patient_graph.TENANT_TABLES,
    *care_platform.TENANT_TABLES,
    *health_hub.TENANT_TABLES,
    *fhir.TENANT_TABLES,
    *audit.TENANT_TABLES,
    *app_state.TENANT_TABLES,
    *identity.TENANT_TABLES,
    *webhooks.TENANT_TABLES,
)
"""Tables whose rows belong to one organization and are hidden from the others."""

UNBOUND_TABLES: Final[tuple[Table, ...]] = (
    *platform.PLATFORM_TABLES,
    *authorization.AUTHORIZATION_TABLES,
    *limits.LIMIT_TABLES,
    *webhooks.PLATFORM_TABLES,
    fhir.outbox,
    fhir.projections_due,
    fhir.telemetry_settings,
    fhir.shown_rows,
    fhir.rerenders,
    fhir.projection_guard,
    fhir.transaction_offset,
    fhir.index_definitions,
)
"""Tables outside tenancy (settled §2.1)."""


def policies(table: Table) -> tuple[str, ...]:
    """Return the statements that hide other organizations' rows, also from the owner of the table.

    An unset context is NULL (or '' later in the same session), which equals no organization: no rows. Catalogue rows
    that all share are read by all (settled §2.1), and written where they are the organization's own: a policy of their
    own for SELECT, since USING alone would let anyone delete them.
    """
    shared = (f"CREATE POLICY shared ON {table.name} FOR SELECT USING (organization_id = '{SHARED}')",)
    return (
        f"ALTER TABLE {table.name} ENABLE ROW LEVEL SECURITY",
        f"ALTER TABLE {table.name} FORCE ROW LEVEL SECURITY",
        f"CREATE POLICY {POLICY} ON {table.name} USING ({CONDITION}) WITH CHECK ({CONDITION})",
        *(shared if table in care_platform.CATALOGUE_TABLES else ()),
    )


def privileges(table: Table) -> str:
    """Return what the server's role may do: nothing but INSERT and SELECT where rows are only added (AD-4)."""
    return "SELECT, INSERT" if table in audit.APPEND_ONLY else "SELECT, INSERT, UPDATE, DELETE"


CREATE_ROLE: Final = f"""
DO $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = '{ROLE}') THEN
        IF (SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user) THEN
            BEGIN
                CREATE ROLE {ROLE} NOLOGIN NOBYPASSRLS;
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL; -- roles belong to the cluster: another database was faster
            END;
        ELSE
            RAISE EXCEPTION 'the role {ROLE} is missing and % may not create roles', current_user
                USING HINT = 'Have an administrator run: CREATE ROLE {ROLE} NOLOGIN; GRANT {ROLE} TO '
                    || quote_ident(current_user);
        END IF;
    END IF;
    IF NOT pg_has_role(current_user, '{ROLE}', 'MEMBER') THEN
        EXECUTE format('GRANT {ROLE} TO %I', current_user);
    END IF;
END
$$
"""


def security_statements() -> tuple[str, ...]:
    """Return every statement: the role, its privileges, the policies of all tenant tables."""
    grants = tuple(
        f"GRANT {privileges(table)} ON {table.name} TO {ROLE}" for table in (*TENANT_TABLES, *UNBOUND_TABLES)
    )
    return (
        CREATE_ROLE,
        *grants,
        *(f"GRANT SELECT ON {view} TO {ROLE}" for view in VIEWS),
        f"GRANT EXECUTE ON FUNCTION fhir_audit_months() TO {ROLE}",
        f"GRANT SELECT ON alembic_version TO {ROLE}",
        *(statement for table in TENANT_TABLES for statement in policies(table)),
    )

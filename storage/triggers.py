"""Triggers: capture of rows that foreign writers change, late data of closed days, tables that only grow.

(settled §3.8, settled §3.2, security AD-4)

Every change of a captured table that the server itself did not make leaves rows in `outbox`: one for the changed row
and one for each row that shows parts of it (its owner). A row whose key changed leaves both keys. Key `*` means every
row of the table; TRUNCATE leaves it for every organization.
"""

# ruff: noqa: S608 every name in these statements is our own

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Table

from storage.audit_partitions import MONTHS_FUNCTION, MONTHS_RIGHTS
from storage.projection.declared import OWNED, STORED_TABLES
from storage.tables import audit

CHANNEL: Final = "fhir_outbox"
"""The NOTIFY channel that wakes the projector on PostgreSQL."""

OPERATIONS: Final = ("insert", "update", "delete")


@dataclass(frozen=True, slots=True)
class Captured:
    """A table whose changes are captured; `owners` are pairs of a table and the column that names its row.

    Owners may be rows derived from others: a clinician is whoever treatments and protocols name.
    """

    table: str
    owners: tuple[tuple[str, str], ...] = ()
    organization: str = "organization_id"

    @property
    def targets(self) -> tuple[tuple[str, str], ...]:
        """Return (table, key column) of every outbox row that a changed row leaves."""
        return ((self.table, "id"), *self.owners)


def _captured(table: str) -> Captured:
    owners = ((owned.owner, owned.column.name) for owned in OWNED if owned.column.table.name == table)
    return Captured(table, tuple(owners), "id" if table == "organizations" else "organization_id")


CAPTURED: Final = tuple(
    _captured(table) for table in dict.fromkeys((*STORED_TABLES, *(owned.column.table.name for owned in OWNED)))
)
"""Every table whose rows show in FHIR (`storage/projection/declared.py`)."""

# SECURITY DEFINER because a foreign writer may not touch the outbox itself; it returns no rows, names every schema and
# does nothing but these inserts.
CAPTURE_FUNCTION: Final = f"""
CREATE FUNCTION fhir_capture() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    organization_column text := TG_ARGV[0];
    changed text := CASE TG_OP
        WHEN 'INSERT' THEN 'new_rows'
        WHEN 'DELETE' THEN 'old_rows'
        ELSE '(SELECT * FROM new_rows UNION ALL SELECT * FROM old_rows)'
    END;
    target integer := 1;
    operation text;
    noted bigint;
    total bigint := 0;
BEGIN
    WHILE target < TG_NARGS LOOP
        operation := CASE WHEN target = 1 THEN lower(TG_OP) ELSE 'update' END;
        IF TG_OP = 'TRUNCATE' THEN
            EXECUTE format('INSERT INTO %I.outbox (organization_id, table_name, key, operation)'
                ' SELECT id, %L, %L, %L FROM %I.organizations',
                TG_TABLE_SCHEMA, TG_ARGV[target], '*', operation, TG_TABLE_SCHEMA);
        ELSE
            EXECUTE format('INSERT INTO %I.outbox (organization_id, table_name, key, operation)'
                ' SELECT DISTINCT changed.%I, %L, changed.%I, %L FROM %s AS changed WHERE changed.%I IS NOT NULL',
                TG_TABLE_SCHEMA, organization_column, TG_ARGV[target], TG_ARGV[target + 1], operation, changed,
                TG_ARGV[target + 1]);
        END IF;
        GET DIAGNOSTICS noted = ROW_COUNT;
        total := total + noted;
        target := target + 2;
    END LOOP;
    IF total > 0 THEN
        PERFORM pg_notify('{CHANNEL}', '');
    END IF;
    RETURN NULL;
END
$$
"""

CAPTURE_RIGHTS: Final = "REVOKE EXECUTE ON FUNCTION fhir_capture() FROM PUBLIC"
"""Nobody else may hang the function on a table of their own, whose outbox would then be written in its owner's name."""

DAILY: Final = "patient_wearable_daily_stats"
DAILY_FACTS: Final = (
    "customer_id",
    "date",
    "data_type",
    "avg_value",
    "min_value",
    "max_value",
    "sum_value",
    "count",
    "unit",
)
"""What the statistics of a day say: late data changes one of these after the day was closed (settled §3.2)."""

LATE_DATA_FUNCTION: Final = f"""
CREATE FUNCTION fhir_late_data() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.corrected := NEW.closed_at IS NOT NULL AND (NEW.corrected OR (OLD.closed_at IS NOT NULL AND (OLD.corrected OR
        ({", ".join(f"NEW.{name}" for name in DAILY_FACTS)})
        IS DISTINCT FROM ({", ".join(f"OLD.{name}" for name in DAILY_FACTS)}))));
    RETURN NEW;
END
$$
"""

LATE_DATA_POSTGRESQL: Final = (
    LATE_DATA_FUNCTION,
    (
        f"CREATE TRIGGER fhir_late_data BEFORE UPDATE ON {DAILY} FOR EACH ROW"
        " WHEN (OLD.closed_at IS NOT NULL OR NEW.corrected) EXECUTE FUNCTION fhir_late_data()"
    ),
)
"""Whoever writes late data, the day is corrected. `updated_at` cannot tell: some writers set it when they close a day,
and others never."""

LATE_DATA_SQLITE: Final = (
    f"CREATE TRIGGER {DAILY}_late_data AFTER UPDATE ON {DAILY}"
    " WHEN NEW.corrected IS NOT (NEW.closed_at IS NOT NULL AND (NEW.corrected OR (OLD.closed_at IS NOT NULL AND"
    " (OLD.corrected OR "
    + " OR ".join(f"NEW.{name} IS NOT OLD.{name}" for name in DAILY_FACTS)
    + f")))) BEGIN UPDATE {DAILY} SET corrected = NOT NEW.corrected"
    " WHERE organization_id = NEW.organization_id AND id = NEW.id; END"
)

REFUSE_FUNCTION: Final = """
CREATE FUNCTION fhir_refuse_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END
$$
"""

_TRANSITIONS: Final = {
    "insert": "REFERENCING NEW TABLE AS new_rows ",
    "update": "REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows ",
    "delete": "REFERENCING OLD TABLE AS old_rows ",
    "truncate": "",
}


def capture_postgresql(captured: Captured) -> tuple[str, ...]:
    """Return the statement-level triggers of one table; they stay silent while the server itself writes."""
    arguments = ", ".join(f"'{each}'" for pair in captured.targets for each in pair)
    return tuple(
        f"CREATE TRIGGER fhir_capture_{operation} AFTER {operation.upper()} ON {captured.table} {transition}"
        "FOR EACH STATEMENT WHEN (current_setting('fhir_server.writer', true) IS DISTINCT FROM 'on')"
        f" EXECUTE FUNCTION fhir_capture('{captured.organization}', {arguments})"
        for operation, transition in _TRANSITIONS.items()
    )


def capture_sqlite(captured: Captured) -> tuple[str, ...]:
    """Return the row triggers of one table; they stay silent while the server itself writes.

    A row that INSERT OR REPLACE pushes out because of another key fires no trigger: `reconcile` finds it.
    """
    return tuple(
        f"CREATE TRIGGER {captured.table}_capture_{operation} AFTER {operation.upper()} ON {captured.table}"
        " WHEN NOT EXISTS (SELECT 1 FROM projection_guard) BEGIN "
        + " ".join(_outbox_insert(captured, operation, position) for position in range(len(captured.targets)))
        + " END"
        for operation in OPERATIONS
    )


def _outbox_insert(captured: Captured, operation: str, position: int) -> str:
    table, column = captured.targets[position]
    noted = operation if position == 0 else "update"
    sides = {"insert": ("NEW",), "update": ("NEW", "OLD"), "delete": ("OLD",)}[operation]
    rows = " UNION ".join(
        f"SELECT {side}.{captured.organization}, '{table}', {side}.{column}, '{noted}'"
        f" WHERE {side}.{column} IS NOT NULL"
        for side in sides
    )
    return f"INSERT INTO outbox (organization_id, table_name, key, operation) {rows};"


def append_only_postgresql(table: Table) -> tuple[str, ...]:
    """Return the trigger that refuses everything but INSERT, to every role."""
    refuse = "FOR EACH STATEMENT EXECUTE FUNCTION fhir_refuse_change()"
    return (f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table.name} {refuse}",)


def append_only_sqlite(table: Table) -> tuple[str, ...]:
    """Return the triggers that refuse everything but INSERT of a new key (INSERT OR REPLACE deletes in silence)."""
    key = " AND ".join(f"{column.name} = NEW.{column.name}" for column in table.primary_key.columns)
    known = f"WHEN EXISTS (SELECT 1 FROM {table.name} WHERE {key})"
    refuse = f"BEGIN SELECT RAISE(ABORT, '{table.name} is append-only'); END"
    return (
        f"CREATE TRIGGER {table.name}_append_only_update BEFORE UPDATE ON {table.name} {refuse}",
        f"CREATE TRIGGER {table.name}_append_only_delete BEFORE DELETE ON {table.name} {refuse}",
        f"CREATE TRIGGER {table.name}_append_only_insert BEFORE INSERT ON {table.name} {known} {refuse}",
    )


def trigger_statements(dialect: str) -> tuple[str, ...]:
    """Return the statements that make every trigger (and its functions) of a database."""
    if dialect == "postgresql":
        return (
            CAPTURE_FUNCTION,
            CAPTURE_RIGHTS,
            *(statement for captured in CAPTURED for statement in capture_postgresql(captured)),
            *LATE_DATA_POSTGRESQL,
            REFUSE_FUNCTION,
            MONTHS_FUNCTION,
            MONTHS_RIGHTS,
            *(statement for table in audit.APPEND_ONLY for statement in append_only_postgresql(table)),
        )
    return (
        *(statement for captured in CAPTURED for statement in capture_sqlite(captured)),
        LATE_DATA_SQLITE,
        *(statement for table in audit.APPEND_ONLY for statement in append_only_sqlite(table)),
    )

"""Months of the audit trail on PostgreSQL: partitions of `rbac_logs` by the instant of a record (AD-5, decision 27).

The first partition holds everything up to the end of the month in which the table was divided, the default one what no
month takes, so that no insert ever fails for want of a partition. Months are made ahead by a function that runs as the
owner of the tables and can do nothing else; the server's role may call it and has no rights on partitions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, exc, text

from storage.audit_seals import Trail
from storage.errors import AuditUnavailable

MONTHS_AHEAD: Final = 3
"""Made by the function beyond the running month. Statements that do not name an instant look into each."""

MONTHS_FUNCTION: Final = """
DO $make$ BEGIN EXECUTE replace($text$
CREATE FUNCTION fhir_audit_months() RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    home constant text := {schema};
    horizon constant timestamp := date_trunc('month', now() AT TIME ZONE 'UTC') + interval '3 months';
    month timestamp;
    ends bigint;
    name text;
    blocked integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('fhir_audit_months'), hashtext(home));
    SELECT max(substring(pg_get_expr(part.relpartbound, part.oid) FROM $re$TO \\('(-?\\d+)'\\)$re$)::bigint) INTO ends
    FROM pg_inherits JOIN pg_class part ON part.oid = inhrelid
    WHERE inhparent = format('%I.rbac_logs', home)::regclass;
    month := timestamp 'epoch' + ends / 1000000 * interval '1 second';
    WHILE month <= horizon LOOP
        name := 'rbac_logs_' || to_char(month, 'YYYY_MM');
        month := month + interval '1 month';
        BEGIN
            EXECUTE format('CREATE TABLE %I.%I (LIKE %I.rbac_logs)', home, name, home);
            EXECUTE format('ALTER TABLE %I.%I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', home, name);
            EXECUTE format('REVOKE ALL ON %I.%I FROM PUBLIC, fhir_server_app', home, name);
            EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON %I.%I'
                ' FOR EACH STATEMENT EXECUTE FUNCTION %I.fhir_refuse_change()', home, name, home);
            EXECUTE format('ALTER TABLE %I.rbac_logs ATTACH PARTITION %I.%I FOR VALUES FROM (%s) TO (%s)',
                home, home, name, ends, (extract(epoch FROM month) * 1000000)::bigint);
        EXCEPTION WHEN check_violation THEN
            blocked := blocked + 1; -- the default partition holds rows of this month: they stay there
        END;
        ends := (extract(epoch FROM month) * 1000000)::bigint;
    END LOOP;
    RETURN blocked;
END
$$
$text$, '{schema}', quote_literal(current_schema())); END $make$
"""

MONTHS_RIGHTS: Final = "REVOKE EXECUTE ON FUNCTION fhir_audit_months() FROM PUBLIC"

_PARTITIONS: Final = text(
    "SELECT part.relname, pg_get_expr(part.relpartbound, part.oid) FROM pg_inherits"
    " JOIN pg_class part ON part.oid = inhrelid WHERE inhparent = 'rbac_logs'::regclass"
)
_BOUNDS: Final = re.compile(r"FROM \((MINVALUE|'(?P<low>-?\d+)')\) TO \('(?P<high>-?\d+)'\)")


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition with an end; `low` (included; None: none) and `high` (excluded) in microseconds since 1970."""

    name: str
    low: int | None
    high: int


def partitions(connection: Connection) -> list[Partition]:
    """Return the partitions in the order of time, without the default one."""
    found = []
    for name, bounds in connection.execute(_PARTITIONS):
        if (match := _BOUNDS.search(bounds)) is not None:
            low = match["low"]
            found.append(Partition(name, None if low is None else int(low), int(match["high"])))
    return sorted(found, key=lambda each: each.high)


def make_months(trail: Trail) -> int:
    """Make the partitions of the running month and the next ones where they are missing.

    Returns how many could not be made because the default partition holds records of theirs already; they stay there.
    On SQLite there is nothing to do. Raises AuditUnavailable when the database fails or others hold the table.
    """
    if trail.engine.dialect.name == "sqlite":
        return 0
    try:
        with trail.engine.begin() as connection:
            return int(connection.scalar(text("SELECT fhir_audit_months()")) or 0)
    except exc.SQLAlchemyError:
        raise AuditUnavailable("the months of the audit trail cannot be made") from None

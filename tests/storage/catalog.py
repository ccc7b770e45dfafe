"""What a database says of itself: its tables, columns, keys, indexes, policies, privileges, triggers, functions.

Partitions are left out, as which there are depends on the day; tests/audit/test_partitions.py looks at them.
"""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import psycopg
from sqlalchemy import NullPool, create_engine, make_url

from storage import rls, triggers
from storage.tables.metadata import metadata
from storage.tables.views import view_statements

Catalog = dict[str, set[tuple[object, ...]]]

POSTGRES_QUERIES = {
    "columns": """
        SELECT relname, attname, format_type(atttypid, atttypmod), attnotnull, collname, attidentity,
               pg_get_expr(adbin, adrelid)
        FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
        LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
        LEFT JOIN pg_collation ON pg_collation.oid = attcollation
        WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p') AND attnum > 0
              AND NOT attisdropped AND NOT relispartition""",
    "constraints": """
        SELECT relname, conname, pg_get_constraintdef(pg_constraint.oid)
        FROM pg_constraint JOIN pg_class ON pg_class.oid = conrelid
        WHERE relnamespace = current_schema()::regnamespace AND NOT relispartition""",
    "views": """
        SELECT relname, reloptions::text, pg_get_viewdef(oid) FROM pg_class
        WHERE relnamespace = current_schema()::regnamespace AND relkind = 'v'""",
    "indexes": """
        SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = current_schema()
        AND NOT (SELECT relispartition FROM pg_class WHERE oid = format('%I.%I', schemaname, tablename)::regclass)""",
    "security": """
        SELECT relname, relrowsecurity, relforcerowsecurity FROM pg_class
        WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition""",
    "policies": """
        SELECT tablename, policyname, permissive, roles::text, cmd, qual, with_check FROM pg_policies
        WHERE schemaname = current_schema()""",
    "privileges": f"""
        SELECT table_name, privilege_type FROM information_schema.role_table_grants
        WHERE grantee = '{rls.ROLE}' AND table_schema = current_schema()""",
    "triggers": """
        SELECT relname, tgname, pg_get_triggerdef(pg_trigger.oid) FROM pg_trigger
        JOIN pg_class ON pg_class.oid = tgrelid WHERE NOT tgisinternal AND NOT relispartition""",
    "functions": """
        SELECT proname, prosecdef, proconfig::text, proacl::text, prosrc FROM pg_proc
        WHERE pronamespace = current_schema()::regnamespace""",
}


def describe(url: str) -> Catalog:
    """Return the catalog of a database, in terms that do not depend on how it came about."""
    return _describe_postgres(url) if url.startswith("postgresql") else _describe_sqlite(url)


def _describe_postgres(url: str) -> Catalog:
    with psycopg.connect(url) as connection:
        return {name: set(connection.execute(query).fetchall()) for name, query in POSTGRES_QUERIES.items()}


def _describe_sqlite(url: str) -> Catalog:
    path = make_url(url).database
    assert path is not None
    with sqlite3.connect(path) as connection:
        listed = connection.execute("SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_master").fetchall()
    found: Catalog = {"tables": set(), "view": set(), "index": set(), "trigger": set()}
    for kind, name, table, sql in listed:
        if name.startswith("sqlite_"):
            continue
        if kind == "table":
            found["tables"].add((name, *sorted(_clauses(sql)), _words(sql[sql.rindex(")") :])))
        else:
            found[kind].add((table, name, _words(sql)))
    return found


def _words(sql: str) -> str:
    return re.sub(r"\s+", " ", sql).replace('"', "").strip().lower()


def _clauses(sql: str) -> list[str]:
    """Return the column and constraint clauses of CREATE TABLE."""
    body = sql[sql.index("(") + 1 : sql.rindex(")")]
    clauses, depth, start = [], 0, 0
    for position, character in enumerate(body):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and depth == 0:
            clauses.append(_words(body[start:position]))
            start = position + 1
    return [*clauses, _words(body[start:])]


def create_from_metadata(url: str) -> None:
    """Make in an empty database what the tables and modules of today say."""
    dialect = make_url(url).get_backend_name()
    if dialect == "sqlite":
        Path(str(make_url(url).database)).touch()
    driver = "postgresql+psycopg" if dialect == "postgresql" else "sqlite"
    engine = create_engine(make_url(url).set(drivername=driver), poolclass=NullPool)
    statements = [*view_statements(dialect), *triggers.trigger_statements(dialect)]
    if dialect == "postgresql":
        statements += rls.security_statements()
    with engine.begin() as connection:
        plain = connection.execution_options(no_parameters=True)
        plain.exec_driver_sql(
            "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL,"
            " CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
        )
        metadata.create_all(connection)
        for statement in statements:
            plain.exec_driver_sql(statement)
    engine.dispose()

"""What SQLite shall believe about the sizes of the FHIR store's tables.

Without statistics SQLite takes any equality for as good as another, and reads a whole organization in order to answer
for one patient. It never gathers them by itself, so a database gets typical ones when it is made: they fit every size,
since what counts is which index is the narrower. `ANALYZE` replaces them by measured ones.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, text

TYPICAL: Final = (
    # (table, index, rows, and rows that are equal in the first column, in the first two, …)
    ("fhir_resources", "sqlite_autoindex_fhir_resources_1", "1000000 1000000 1"),
    ("fhir_resources", "fhir_resources_rid_idx", "1000000 1000000 1"),
    ("fhir_resources", "fhir_resources_patient_idx", "1000000 1000000 300 80 1 1"),
    ("fhir_resources", "fhir_resources_updated_idx", "1000000 1000000 50000 20"),
    ("fhir_history", "sqlite_autoindex_fhir_history_1", "100000 100000 20000 2 1"),
    ("fhir_history", "fhir_history_updated_idx", "100000 100000 20000 20"),
    ("fhir_compartments", "sqlite_autoindex_fhir_compartments_1", "10000 10000 20 1"),
    ("fhir_index_tokens", "fhir_index_tokens", "8000000 8000000 20000 20 2 1 1"),
    ("fhir_index_strings", "fhir_index_strings", "500000 500000 100000 5 1 1"),
    ("fhir_index_strings", "fhir_index_strings_rid_idx", "500000 500000 5"),
    ("fhir_index_dates", "fhir_index_dates", "300000 300000 100000 3 1 1"),
    ("fhir_index_dates", "fhir_index_dates_rid_idx", "300000 300000 2"),
    ("fhir_index_quantities", "fhir_index_quantities", "2000000 2000000 700000 50 1 1 1"),
    ("fhir_index_quantities", "fhir_index_quantities_rid_idx", "2000000 2000000 4"),
    ("fhir_index_references", "fhir_index_references", "2000000 2000000 20 10 1"),
    ("fhir_index_references", "fhir_index_references_rid_idx", "2000000 2000000 2"),
)


def seed_statistics(connection: Connection) -> None:
    """Give a SQLite database the typical statistics, where it has none; PostgreSQL gathers its own."""
    if connection.dialect.name != "sqlite":
        return
    connection.execute(text("ANALYZE sqlite_schema"))  # makes the table of statistics
    known = set(connection.scalars(text("SELECT idx FROM sqlite_stat1")))
    rows = [{"tbl": table, "idx": index, "stat": stat} for table, index, stat in TYPICAL if index not in known]
    if rows:
        connection.execute(text("INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES (:tbl, :idx, :stat)"), rows)

"""The FHIR store: current versions, superseded versions, search index, changes, outbox.

Instants are int8 milliseconds since 1970 UTC, clinical dates int8 microseconds (half-open ranges), hashes int8; all
index columns are leakproof types, so they stay index conditions under row-level security (settled §3.3).
"""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Identity, Index, Integer, PrimaryKeyConstraint, SmallInteger, Table, text

from storage.tables.metadata import Bytes, Identifier, Int8, metadata

resources = Table(
    "fhir_resources",
    metadata,
    Column("organization_id", Identifier, nullable=False),
    Column("resource_type", Identifier, nullable=False),
    Column("id", Identifier, nullable=False),
    Column("rid", Int8, nullable=False, comment="surrogate key, ascending with creation; index rows point to it"),
    Column("self_key", Int8, nullable=False, comment="hash of Type/id, hence unique with them; reference rows name it"),
    Column("version", Integer, nullable=False),
    Column("last_updated", Int8, nullable=False, comment="milliseconds since 1970 UTC"),
    Column("deleted", Boolean, nullable=False),
    Column(
        "patient",
        Int8,
        nullable=False,
        comment="self_key of the one Patient it is about, else 0",
    ),
    Column("date_low", Int8, nullable=False, comment="clinical date, microseconds; int8 minimum when open or absent"),
    Column("date_high", Int8, nullable=False, comment="end of the clinical date; int8 maximum when open or absent"),
    Column("present", Int8, nullable=False, comment="bit mask of search parameters that have a value"),
    Column("home_table", Identifier, comment="internal table that holds the resource; null: native"),
    Column("home_key", Identifier, comment="key of the row in home_table"),
    Column("home_part", Identifier, comment="which part of the row; empty when the row is one resource"),
    Column("residual", Bytes, comment="JSON: elements that no column holds, with guards (settled §1.2)"),
    Column("change_id", Int8, nullable=False, comment="the unit of work that wrote this version"),
    Column("xid", Int8, nullable=False, comment="transaction id, offset added (0 on SQLite)"),
    Column("body", Bytes, nullable=False, comment="finished JSON; of a deleted resource its last body"),
    Column("creation", SmallInteger, nullable=False, server_default="0", comment="0: no creation, 1: POST, 2: PUT"),
    PrimaryKeyConstraint("organization_id", "self_key"),
    Index("fhir_resources_rid_idx", "organization_id", "rid", unique=True),
    Index("fhir_resources_patient_idx", "organization_id", "patient", "resource_type", "date_low", "rid"),
    Index("fhir_resources_updated_idx", "organization_id", "resource_type", "last_updated"),
    Index(
        "fhir_resources_home_idx",
        "organization_id",
        "home_table",
        "home_key",
        postgresql_where=text("home_table IS NOT NULL"),
        sqlite_where=text("home_table IS NOT NULL"),
    ),
)

history = Table(
    "fhir_history",
    metadata,
    Column("organization_id", Identifier, nullable=False),
    Column("resource_type", Identifier, nullable=False),
    Column("id", Identifier, nullable=False),
    Column("version", Integer, nullable=False),
    Column("last_updated", Int8, nullable=False),
    Column("deleted", Boolean, nullable=False),
    Column("patient", Int8, nullable=False),
    Column("change_id", Int8, nullable=False),
    Column("xid", Int8, nullable=False),
    Column("body", Bytes, nullable=False),
    Column("creation", SmallInteger, nullable=False, server_default="0"),
    PrimaryKeyConstraint("organization_id", "resource_type", "id", "version"),
    Index("fhir_history_updated_idx", "organization_id", "resource_type", "last_updated"),
    comment="superseded versions only",
)

compartments = Table(
    "fhir_compartments",
    metadata,
    Column("organization_id", Identifier, nullable=False),
    Column("patient", Int8, nullable=False),
    Column("rid", Int8, nullable=False),
    PrimaryKeyConstraint("organization_id", "patient", "rid"),
    comment="resources in compartments that the column `patient` does not name",
)

index_tokens = Table(
    "fhir_index_tokens",
    metadata,
    Column("organization_id", Identifier, nullable=False),
    Column("key", Int8, nullable=False, comment="hash of type, parameter and code"),
    Column("patient", Int8, nullable=False),
    Column("date", Int8, nullable=False, comment="date_low of the resource"),
    Column("rid", Int8, nullable=False),
    Column("system", Int8, nullable=False, comment="hash of the system, 0 for none"),
    PrimaryKeyConstraint("organization_id", "key", "patient", "date", "rid", "system"),
    sqlite_with_rowid=False,
)

index_strings = Table(
    "fhir_index_strings",
    metadata,
    Column("organization_id", Identifier, nullable=False),
    Column("key", Int8, nullable=False, comment="hash of type and parameter"),
    Column("value", Identifier, nullable=False, comment="folded (fhir_rest §8.3); of a uri the uri itself"),
    Column("rid", Int8, nullable=False),
    Column("exact", Identifier, nullable=False, comment="as written, NFC"),
    PrimaryKeyConstraint("organization_id", "key", "value", "rid", "exact"),
    Index("fhir_index_strings_rid_idx", "organization_id", "rid"),
    sqlite_with_rowid=False,
)

index_dates = Table(
    "fhir_index_dates",
    metadata,
    Column("organization_id", Identifier, nullable=False),
    Column("key", Int8, nullable=False),
    Column("low", Int8, nullable=False),
    Column("high", Int8, nullable=False),
    Column("rid", Int8, nullable=False),
    PrimaryKeyConstraint("organization_id", "key", "low", "rid", "high"),
    Index("fhir_index_dates_rid_idx", "organization_id", "rid"),
    sqlite_with_rowid=False,
)

index_quantities = Table(
    "fhir_index_quantities",
    metadata,
    Column("organization_id", Identifier, nullable=False),
    Column("key", Int8, nullable=False),
    Column("low", Bytes, nullable=False, comment="order-preserving encoding of the decimal"),
    Column("high", Bytes, nullable=False),
    Column("rid", Int8, nullable=False),
    Column("qualifier", Int8, nullable=False),
    PrimaryKeyConstraint("organization_id", "key", "low", "rid", "qualifier", "high"),
    Index("fhir_index_quantities_rid_idx", "organization_id", "rid"),
    sqlite_with_rowid=False,
)

index_references = Table(
    "fhir_index_references",
    metadata,
    Column("organization_id", Identifier, nullable=False),
    Column("target", Int8, nullable=False, comment="self_key of the target, or hash of a foreign url"),
    Column("key", Int8, nullable=False, comment="hash of type and parameter; 0: no parameter covers the reference"),
    Column("rid", Int8, nullable=False),
    PrimaryKeyConstraint("organization_id", "target", "key", "rid"),
    Index("fhir_index_references_rid_idx", "organization_id", "rid"),
    sqlite_with_rowid=False,
)

INDEX_TABLES = (index_tokens, index_strings, index_dates, index_quantities, index_references)

changes = Table(
    "fhir_changes",
    metadata,
    Column("organization_id", Identifier, nullable=False),
    Column("id", Int8, nullable=False),
    Column("at", Int8, nullable=False, comment="milliseconds since 1970 UTC"),
    Column("actor", Identifier, nullable=False),
    Column("client_id", Identifier, nullable=False),
    Column("api", Identifier, nullable=False, comment="fhir, graph, load, projector, …"),
    Column("request_id", Identifier, nullable=False),
    PrimaryKeyConstraint("organization_id", "id"),
    comment="one row per unit of work: who wrote, through which API (settled §1.15)",
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", Int8.with_variant(Integer(), "sqlite"), Identity(always=True), primary_key=True),
    Column("organization_id", Identifier, nullable=False),
    Column("table_name", Identifier, nullable=False),
    Column("key", Identifier, nullable=False, comment="key of the row; * after TRUNCATE"),
    Column("operation", Identifier, nullable=False, comment="insert, update, delete, truncate"),
    comment="rows changed by foreign writers, filled by triggers (settled §3.8); outside tenancy",
)

projections_due = Table(
    "projections_due",
    metadata,
    Column("organization_id", Identifier, nullable=False),
    Column("table_name", Identifier, nullable=False),
    Column("key", Identifier, nullable=False),
    Column("due", Int8, nullable=False, comment="milliseconds since 1970 UTC: when the row is to be projected"),
    PrimaryKeyConstraint("organization_id", "table_name", "key"),
    Index("projections_due_due_idx", "due"),
    comment="changed rows that FHIR shows later, days still open (settled §3.2); outside tenancy",
)

telemetry_settings = Table(
    "telemetry_settings",
    metadata,
    Column("organization_id", Identifier, nullable=False),
    Column("setting", Identifier, nullable=False, comment="JSON: organizations.settings.telemetry as last understood"),
    Column("walk_after", Identifier, comment="readings up to this id follow the setting; null: all of them do"),
    Column("walk_from", Int8, comment="PostgreSQL: the walk waits until transactions below this id have ended"),
    PrimaryKeyConstraint("organization_id"),
    comment="which readings FHIR shows; a change of it is carried to all readings in the background; outside tenancy",
)

shown_rows = Table(
    "shown_rows",
    metadata,
    Column("organization_id", Identifier, nullable=False),
    Column("table_name", Identifier, nullable=False),
    Column("key", Identifier, nullable=False),
    Column("fingerprint", Bytes, nullable=False, comment="hash of what other rows' resources show of this one"),
    Column("walk", SmallInteger, comment="0: waits to be shown, 1: the walk under way has it, null: shown everywhere"),
    PrimaryKeyConstraint("organization_id", "table_name", "key"),
    Index(
        "shown_rows_walk_idx",
        "walk",
        "organization_id",
        postgresql_where=text("walk IS NOT NULL"),
        sqlite_where=text("walk IS NOT NULL"),
    ),
    comment="rows whose contents others show, as they were last shown (settled §1.8); outside tenancy",
)

rerenders = Table(
    "rerenders",
    metadata,
    Column("organization_id", Identifier, nullable=False),
    Column("table_name", Identifier, nullable=False, comment="of the changed rows"),
    Column("owner", Identifier, comment="table whose rows show them, under way; null: the walk begins"),
    Column("after", Identifier, nullable=False, comment="rows of owner up to this id are noted in the outbox"),
    Column("walk_from", Int8, comment="PostgreSQL: the walk waits until transactions below this id have ended"),
    Column("done", Int8, nullable=False, comment="rows noted so far"),
    Column("total", Int8, comment="rows to be noted; null: not counted yet"),
    PrimaryKeyConstraint("organization_id"),
    comment="the walk to what shows changed rows, one at a time in an organization; outside tenancy",
)

projection_failures = Table(
    "projection_failures",
    metadata,
    Column("organization_id", Identifier, nullable=False),
    Column("table_name", Identifier, nullable=False),
    Column("key", Identifier, nullable=False),
    Column("failed_at", Int8, nullable=False),
    Column("reason", Identifier, nullable=False, comment="what could not be mapped; no values"),
    PrimaryKeyConstraint("organization_id", "table_name", "key"),
)

projection_guard = Table(
    "projection_guard",
    metadata,
    Column("id", Integer, primary_key=True),
    comment="SQLite: holds a row while the server itself writes, so that triggers stay silent",
)

transaction_offset = Table(
    "transaction_offset",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("value", Int8, nullable=False, comment="added to transaction ids, which start anew in another cluster"),
    comment="PostgreSQL: one row; raised after a dump was restored (storage/transaction_ids.py)",
)

index_definitions = Table(
    "index_definitions",
    metadata,
    Column("organization_id", Identifier, primary_key=True, comment="*: every organization that has no row of its own"),
    Column("fingerprint", Identifier, nullable=False, comment="empty: not known"),
    comment="by which definition each search index was built (storage/projection/index_definition.py)",
)

TENANT_TABLES = (resources, history, compartments, *INDEX_TABLES, changes, projection_failures)

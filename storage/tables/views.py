"""Views: other names for what tables hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_AUDIT_LOG_COLUMNS: Final = (
    "id, organization_id, actor_id AS user_id, actor_role AS role, action, resource, resource_ids,"
    " customer_id AS patient_id, outcome, status, purpose, client_id, request_id, method, path, ip_address, user_agent"
)

VIEWS: Final[Mapping[str, Mapping[str, str]]] = {
    # The audit log of the care platform's document. It asks as whoever reads it: row-level security of the trail holds.
    "audit_logs": {
        "postgresql": (
            f"CREATE VIEW audit_logs WITH (security_invoker = true) AS SELECT {_AUDIT_LOG_COLUMNS},"  # noqa: S608 our own
            " timestamptz 'epoch' + at * interval '1 microsecond' AS created_at FROM rbac_logs"
        ),
        "sqlite": (
            f"CREATE VIEW audit_logs AS SELECT {_AUDIT_LOG_COLUMNS},"  # noqa: S608 our own
            " strftime('%Y-%m-%dT%H:%M:%S', at / 1000000, 'unixepoch') || printf('.%06dZ', at % 1000000)"
            " AS created_at FROM rbac_logs"
        ),
    },
}
"""View → dialect → the statement that makes it (internal_tables.md: one audit trail)."""


def view_statements(dialect: str) -> tuple[str, ...]:
    """Return the statements that make every view of a database."""
    return tuple(each[dialect] for each in VIEWS.values())

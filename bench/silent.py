"""The server without an audit trail of reads: what the audit costs is the difference to the server as it is.

python -m bench.silent --port 8000 --workers 2

Reads leave no record; those of writes are part of their transactions and stay. It exists to be measured against, which
is why it lies here and nowhere in the server. It listens on loopback only.
"""

from __future__ import annotations

from typing import Final

from bench.altered import serve
from fhir_server import app
from storage.audit import AuditRecord
from storage.audit_trail import AuditTrail

MODULE: Final = "bench.silent"


def application() -> app.Application:
    """Return the application of a worker that records no read."""

    async def record(self: AuditTrail, record: AuditRecord) -> None:
        """Record nothing."""

    AuditTrail.record = record  # type: ignore[method-assign]
    return app.application()


if __name__ == "__main__":
    serve(MODULE, __doc__)

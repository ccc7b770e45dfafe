"""The server without an audit trail of reads: what the audit costs is the difference to the server as it is.

python -m bench.silent --port 8000 --workers 2

Reads leave no record; those of writes are part of their transactions and stay. It exists to be measured against, which
is why it lies here and nowhere in the server. It listens on loopback only.
"""

from __future__ import annotations

import argparse
from typing import Final

from fhir_server import app, server
from fhir_server.settings import load_settings
from storage.audit import AuditRecord
from storage.audit_trail import AuditTrail

MODULE: Final = "bench.silent"


def application() -> app.Application:
    """Return the application of a worker that records no read."""

    async def record(self: AuditTrail, record: AuditRecord) -> None:
        """Record nothing."""

    AuditTrail.record = record  # type: ignore[method-assign]
    return app.application()


def main() -> None:
    """Serve until a signal ends it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    server.FACTORY = f"{MODULE}:application"  # type: ignore[misc]
    server.APPLICATION = MODULE  # type: ignore[misc]
    server.run(load_settings(host="127.0.0.1", port=options.port, workers=options.workers))


if __name__ == "__main__":
    main()

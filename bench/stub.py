"""The server with a stub in place of its token check: what the check costs is the difference to the server as it is.

python -m bench.stub --port 8000 --workers 2

The first access token decides what everybody may do; after that nobody is looked at. It exists to be measured against,
which is why it lies here and nowhere in the server. It listens on loopback only.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Final

from fhir_server import app, server
from fhir_server.oauth.authenticate import Authenticator
from fhir_server.settings import load_settings
from storage.access import Access

MODULE: Final = "bench.stub"

Headers = Sequence[tuple[bytes, bytes]]


def application() -> app.Application:
    """Return the application of a worker that checks nothing but the first token."""
    checked = Authenticator.access
    known: list[Access] = []

    async def access(self: Authenticator, headers: Headers, query: bytes) -> Access:
        if not known:
            known.append(await checked(self, headers, query))
        return known[0]

    Authenticator.access = access  # type: ignore[method-assign]
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

"""The server with a stub in place of its token check: what the check costs is the difference to the server as it is.

python -m bench.stub --port 8000 --workers 2

The first access token decides what everybody may do; after that nobody is looked at. It exists to be measured against,
which is why it lies here and nowhere in the server. It listens on loopback only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bench.altered import serve
from fhir_server import app
from fhir_server.oauth.authenticate import Authenticator
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


if __name__ == "__main__":
    serve(MODULE, __doc__)

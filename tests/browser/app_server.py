"""A SMART app of somebody else: static pages and the npm library `fhirclient`, on an origin and a site of their own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

PAGES = Path(__file__).parent / "app"
LIBRARY = Path(__file__).parents[1] / "clients/js/node_modules/fhirclient/build/fhir-client.min.js"
HOST = "localhost"
"""Another site than 127.0.0.1, where the server is: cookies with SameSite are put to the test."""


class Files(BaseHTTPRequestHandler):
    """Gives the pages and the library."""

    def do_GET(self) -> None:
        name = self.path.partition("?")[0].removeprefix("/") or "index.html"
        path = LIBRARY if name == "fhir-client.js" else PAGES / Path(name).name
        if not path.is_file():
            self.send_error(404)
            return
        body = path.read_bytes()
        self.send_response(200)
        self.send_header("Content-Type", "text/javascript" if name.endswith(".js") else "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: Any) -> None:
        """Say nothing."""


@contextmanager
def running_app() -> Iterator[str]:
    """Serve the app and give its origin."""
    assert LIBRARY.exists(), "the library is missing: `make test` installs it"
    server = ThreadingHTTPServer(("127.0.0.1", 0), Files)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://{HOST}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)

"""Write the client for those who do not await, of the asynchronous one; tests check that it is up to date.

python scripts/generate_client.py
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "fhir_server" / "graph_client"
SOURCE, TARGET = FOLDER / "asynchronous.py", FOLDER / "client.py"

DOCSTRING = '''"""The client; made of `asynchronous.py` by `scripts/generate_client.py`.

    with PatientGraphClient("https://graph.example.org/graph", token=provider) as client:
        result = client.profiles.get("cust_123")
        for lab in client.labs.iterate(customer_id="cust_123"):
            ...
"""'''
CHANGES: Sequence[tuple[str, str]] = (
    (r'\A""".*?"""', DOCSTRING),
    (r"import asyncio\n", "import time\n"),
    (r"asyncio\.sleep", "time.sleep"),
    (r"AsyncIterator, Awaitable, Callable", "Callable, Iterator"),
    (r"AsyncIterator", "Iterator"),
    (r"Awaitable\[str\]", "str"),
    (r"httpx\.AsyncBaseTransport", "httpx.BaseTransport"),
    (r"httpx\.AsyncClient", "httpx.Client"),
    (r"\bAsync([A-Z])", r"\1"),
    (r"\basync def __aenter__", "def __enter__"),
    (r"\basync def __aexit__", "def __exit__"),
    (r"\baclose\b", "close"),
    (r"\basync (def|for|with)\b", r"\1"),
    (r"\bawait ", ""),
    (r"for item in page\.data:\s+yield item", "yield from page.data"),
    (r"\((self\.send\(following\))\)", r"\1"),
)


def synchronous() -> str:
    """Return the text of the client."""
    text = SOURCE.read_text("utf-8")
    for pattern, replacement in CHANGES:
        text = re.sub(pattern, lambda found, to=replacement: found.expand(to), text, flags=re.DOTALL)
    command = [sys.executable, "-m", "ruff"]
    options = ["--stdin-filename", str(TARGET), "-"]
    for step in (["check", "--select", "I", "--fix", "--quiet"], ["format", "--quiet"]):
        text = subprocess.run(
            [*command, *step, *options], input=text, capture_output=True, text=True, check=True
        ).stdout
    return text


if __name__ == "__main__":
    TARGET.write_text(synchronous(), "utf-8")

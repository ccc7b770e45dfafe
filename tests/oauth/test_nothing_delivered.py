"""Subscriptions and jobs would have to ask for their owner's grant each time (smart.md E16). There are none here."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Final

from capability.operations import OPERATIONS

ROOT: Final = Path(__file__).parents[2]
CLIENTS: Final = {"http", "httpcore", "httpx", "smtplib", "urllib"}
"""Libraries by which a program speaks to others."""
SENDERS: Final = {
    "fhir_server/outgoing.py": "fetches key sets and what issuers publish",
    "fhir_server/cli/asking.py": "a command that asks a running server for a token",
    "fhir_server/cli/webhook_sending.py": "a command that sends a running server a sample of an event",
    "fhir_server/graph_client/asynchronous.py": "the client that others use; the server imports nothing of it",
    "fhir_server/graph_client/client.py": "likewise",
}


def test_smart_E16_nothing_is_sent_to_anybody_after_the_request_that_asked_for_it():
    found = {
        path.relative_to(ROOT).as_posix()
        for room in ("fhir_server", "storage")
        for path in (ROOT / room).rglob("*.py")
        if CLIENTS & imported(ast.parse(path.read_text()))
    }
    assert found == set(SENDERS)


def test_smart_E16_no_operation_leaves_a_file_to_be_fetched_later():
    assert [name for name in OPERATIONS if "export" in name or "import" in name] == []


def imported(module: ast.Module) -> set[str]:
    """Return the packages of which a module imports something that speaks to others."""
    names = {each.name for node in ast.walk(module) if isinstance(node, ast.Import) for each in node.names}
    names |= {node.module or "" for node in ast.walk(module) if isinstance(node, ast.ImportFrom)}
    return {name.split(".", 1)[0] for name in names if name not in {"http", "urllib.parse"}}

"""One request about states: what it asks, who asks, and what the audit is told of it (`smart.md` ST1)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from capability.smart import APP_STATE_PATH
from fhir_server.access import BREAK_GLASS, Caller
from fhir_server.fhir.body import Receive
from fhir_server.fhir.request import Origin, joined_headers, origin_of
from fhir_server.fhir.trail import ANONYMOUS, REFUSALS
from storage.app_states import StateKey
from storage.audit import AuditRecord

RESOURCE: Final = "app_state"
_ACTIONS: Final = {"POST": "write", "PUT": "write", "DELETE": "delete"}
_INTERACTIONS: Final = {
    "POST": "create",
    "PUT": "update",
    "DELETE": "delete",
    "GET": "search-type",
    "HEAD": "search-type",
}
_STATE: Final = re.compile(r"/Basic/([A-Za-z0-9\-.]{1,64})")


@dataclass
class Call:
    """A request as it came; `caller` and `key` are there once they are known."""

    origin: Origin
    headers: dict[str, str]
    raw_headers: Sequence[tuple[bytes, bytes]]
    path: str
    """Below the base of states."""
    raw_query: bytes
    receive: Receive
    caller: Caller | None = None
    key: StateKey | None = None
    made_id: str | None = None

    @property
    def method(self) -> str:
        """The method of the request."""
        return self.origin.method

    @property
    def state_id(self) -> str | None:
        """The id that the address names; None where it names none."""
        match = _STATE.fullmatch(self.path)
        return match[1] if match else None

    @property
    def is_type(self) -> bool:
        """Whether the address is that of all states."""
        return self.path == "/Basic"


def call_of(scope: Any, receive: Receive) -> Call:
    """Return the request of an ASGI scope; headers that came several times are joined by commas."""
    raw: Sequence[tuple[bytes, bytes]] = scope["headers"]
    headers = joined_headers(raw)
    path = scope["path"].removeprefix(APP_STATE_PATH)
    return Call(origin_of(scope, headers), headers, raw, path, scope["query_string"], receive)


def record_of(call: Call, status: int, organization_id: str, *, ids: Sequence[str] = ()) -> AuditRecord:
    """Return the audit record of a request: ids and words of the interface, never what a state holds (AD-1).

    `organization_id` is the server's own, for requests of nobody.
    """
    caller, key = call.caller, call.key
    subject = (key.subject or "") if key else ""
    known = call.is_type or call.state_id is not None
    state_id = call.state_id or call.made_id
    return AuditRecord(
        organization_id=caller.organization_id if caller else organization_id,
        actor_id=caller.subject if caller else ANONYMOUS,
        actor_role=caller.role if caller else ANONYMOUS,
        resource=RESOURCE,
        action=_ACTIONS.get(call.method, "read"),
        outcome="denied" if status in REFUSALS else "allowed",
        client_id=caller.client_id if caller else None,
        customer_id=subject.removeprefix("Patient/") if subject.startswith("Patient/") else None,
        resource_ids=ids or ((state_id,) if state_id else ()),
        interaction=_INTERACTIONS.get(call.method) if known else None,
        status=status,
        count=len(ids) if call.method in {"GET", "HEAD"} else None,
        request_id=call.origin.request_id,
        method=call.method,
        path=f"{APP_STATE_PATH}/Basic" + ("" if call.is_type else "/{id}") if known else None,
        ip_address=call.origin.address,
        user_agent=call.origin.user_agent,
        purpose=BREAK_GLASS if caller and caller.break_glass_id else None,
        grant_id=caller.token_id if caller else None,
    )

"""The pharmacy that tells of its orders; it signs with a library that is not ours (Standard Webhooks)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
from standardwebhooks.webhooks import Webhook

from fhir_server.cli.installation import open_installation
from fhir_server.cli.webhooks import add_secret, rotate_secret
from fhir_server.settings import Settings
from tests.conftest import ORGANIZATION
from tests.graph.answers import require_described

STATES = ("created", "processing", "transmitted", "shipped", "delivered")


def secret_for(settings: Settings, organization: str = ORGANIZATION) -> str:
    """Give an organization a secret by the command, and return it."""

    async def add() -> str:
        async with open_installation(settings) as installation:
            return str((await add_secret(installation, "rimo", organization, None))["secret"])

    return asyncio.run(add())


def rotated(settings: Settings, hours: int, organization: str = ORGANIZATION) -> str:
    """Give an organization another secret by the command, and return it."""

    async def rotate() -> str:
        async with open_installation(settings) as installation:
            return str((await rotate_secret(installation, "rimo", organization, None, hours))["secret"])

    return asyncio.run(rotate())


def event(kind: str, at: str, order: str, treatment: str, **data: Any) -> dict[str, Any]:
    """Return an event of an order; `at` is a time of day."""
    known = {"medicationName": "Semaglutide", "dosage": "0.25mg", "quantity": 4, "refills": 3}
    order_data = {"orderId": order, "treatmentId": treatment, **known, **data}
    return {"type": f"order.{kind}", "timestamp": f"2026-03-20T{at}:00Z", "data": order_data}


def life(order: str, treatment: str) -> dict[str, dict[str, Any]]:
    """Return the events of an order that is delivered, by their id."""
    times = ("10:00", "10:30", "11:00", "18:00", "21:00")
    more: dict[str, dict[str, Any]] = {
        "created": {"prescribedDate": "2026-03-20T10:00:00Z", "nextRefillDate": "2026-04-20T00:00:00Z"},
        "transmitted": {"pharmacyId": "pharm_rimo_1", "pharmacyName": "Rimo Pharmacy"},
        "shipped": {"trackingNumber": "1Z999AA10123456789"},
    }
    return {
        f"{order}-{kind}": event(kind, at, order, treatment, **more.get(kind, {}))
        for kind, at in zip(STATES, times, strict=True)
    }


@dataclass
class Pharmacy:
    """Sends events to a server."""

    base_url: str
    secret: str
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        hooks: dict[str, list[Any]] = {"response": [require_described]}
        self.client = httpx.Client(base_url=f"{self.base_url}/graph", timeout=30, event_hooks=hooks)

    def headers(
        self, event_id: str, body: str, *, secret: str | None = None, at: float | None = None
    ) -> dict[str, str]:
        """Return signed headers."""
        moment = datetime.now(UTC) if at is None else datetime.fromtimestamp(at, UTC)
        return {
            "content-type": "application/json",
            "webhook-id": event_id,
            "webhook-timestamp": str(int(moment.timestamp())),
            "webhook-signature": Webhook(secret or self.secret).sign(event_id, moment, body),
        }

    def tell(self, event_id: str, what: Mapping[str, Any], **signed: Any) -> httpx.Response:
        """Send an event, signed."""
        body = json.dumps(what)
        return self.post(body, self.headers(event_id, body, **signed))

    def post(self, body: str | bytes, headers: Mapping[str, str]) -> httpx.Response:
        """Send anything."""
        return self.client.post("/webhooks/rimo", content=body, headers=dict(headers))

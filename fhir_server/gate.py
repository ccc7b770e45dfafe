"""The gate before the FHIR interface: how many requests a worker takes at once, and how long it waits for their bodies.

uvicorn closes idle connections, but waits for a body for ever, and its own bound counts idle connections and answers in
plain text. So both are done here, for each worker on its own (security RL-2, RL-3).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from fhir_server.errors import BodyTooSlow, Overloaded

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

RETRY_SECONDS: Final = 1
"""When a client that was turned away may come back: most requests take far less."""


class Guarded(Protocol):
    """An ASGI application that can also answer with an error of ours."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; what `receive` raises becomes its answer."""
        ...

    async def refuse(self, error: Exception, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request with an error, without looking at it."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """How many requests may be under way, and how many seconds a body may take: between two pieces, and in all."""

    in_flight: int
    idle_seconds: float
    body_seconds: float


class Gate:
    """Lets requests through to `application` within the limits."""

    def __init__(self, application: Guarded, limits: Limits) -> None:
        self._application = application
        self._limits = limits
        self._in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request: 503 at once where too many are under way, 408 where its body comes too slowly."""
        if self._in_flight >= self._limits.in_flight:
            await self._application.refuse(Overloaded(RETRY_SECONDS), scope, receive, send)
            return
        self._in_flight += 1
        try:
            await self._application(scope, _TimedBody(receive, self._limits), send)
        finally:
            self._in_flight -= 1


class _TimedBody:
    """`receive` of one request that gives up waiting; the clock starts when the body is first asked for."""

    __slots__ = ("_complete", "_deadline", "_limits", "_receive")

    def __init__(self, receive: Receive, limits: Limits) -> None:
        self._receive = receive
        self._limits = limits
        self._deadline = 0.0
        self._complete = False

    async def __call__(self) -> Message:
        """Return the next piece; raises BodyTooSlow."""
        if self._complete:
            return await self._receive()
        now = asyncio.get_running_loop().time()
        if not self._deadline:
            self._deadline = now + self._limits.body_seconds
        try:
            async with asyncio.timeout_at(min(now + self._limits.idle_seconds, self._deadline)):
                message = await self._receive()
        except TimeoutError:
            raise BodyTooSlow from None
        self._complete = not message.get("more_body", False)
        return message

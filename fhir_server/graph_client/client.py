"""The client; made of `asynchronous.py` by `scripts/generate_client.py`.

with PatientGraphClient("https://graph.example.org/graph", token=provider) as client:
    result = client.profiles.get("cust_123")
    for lab in client.labs.iterate(customer_id="cust_123"):
        ...
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import date, datetime
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from fhir_server.graph_client import calls, models, sent
from fhir_server.graph_client.calls import Call, at
from fhir_server.graph_client.results import Failed, Result, Unreachable
from fhir_server.graph_client.retries import Retries
from fhir_server.graph_client.wire import encoded, result, retry_after

T = TypeVar("T")

UNAUTHORIZED = 401
TIMEOUT = 30.0


class Sender:
    """Sends calls, again where that is safe, and with a new token when the old one is no longer taken."""

    def __init__(self, http: httpx.Client, token: str | Callable[[], str] | None, retries: Retries) -> None:
        self._http = http
        self._token = token
        self._retries = retries
        self._known: str | None = None

    def send(self, call: Call[T]) -> Result[T]:
        """Return what a call comes to; raises what the token's provider raises, and nothing else."""
        renewed, attempt = False, 0
        while True:
            answer, failure = self._once(call)
            status = answer.status_code if answer is not None else None
            if status == UNAUTHORIZED and callable(self._token) and not renewed:
                renewed, self._known = True, None
                continue
            wait = self._retries.wait(
                call, attempt, status, retry_after(answer.headers) if answer is not None else None
            )
            if wait is None:
                if answer is None:
                    return Failed(Unreachable(failure))
                return result(call, answer.status_code, answer.headers, answer.content)
            time.sleep(wait)
            attempt += 1

    def iterate(self, call: Call[models.Page[T]]) -> Iterator[T]:
        """Yield what all pages of a list hold; raises PatientGraphError for a page that fails."""
        following: Call[models.Page[T]] | None = call
        while following is not None:
            page = self.send(following).unwrap()
            yield from page.data
            following = calls.following(following, page)

    def _once(self, call: Call[Any]) -> tuple[httpx.Response | None, str]:
        headers = {"Accept": "application/json"}
        token = self._bearer()
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        content = None
        if call.body is not None:
            headers["Content-Type"] = "application/json"
            content = encoded(call.body)
        try:
            answer = self._http.request(call.method, call.path, params=call.params, content=content, headers=headers)
        except httpx.TransportError as error:
            return None, f"{type(error).__name__}: {error}"
        return answer, ""

    def _bearer(self) -> str | None:
        if self._token is None or isinstance(self._token, str):
            return self._token
        if self._known is None:
            self._known = self._token()
        return self._known


class Profiles:
    """Who the customers are."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def list(
        self,
        *,
        customer_id: str | None = None,
        email: str | None = None,
        limit: int | None = None,
        offset: int | None = None,
    ) -> Result[models.Page[models.Profile]]:
        """Return a page of profiles, newest first."""
        return self._sender.send(
            calls.listing("/profiles", models.Profile, customer_id=customer_id, email=email, limit=limit, offset=offset)
        )

    def iterate(self, *, limit: int | None = None) -> Iterator[models.Profile]:
        """Yield all profiles, newest first; `limit` is the size of a page."""
        return self._sender.iterate(calls.listing("/profiles", models.Profile, limit=limit))

    def get(self, profile_id: str) -> Result[models.Profile]:
        """Return one profile."""
        return self._sender.send(calls.get(at("profiles", profile_id), models.Profile))

    def create(self, profile: sent.NewProfile) -> Result[models.Profile]:
        """Create a profile."""
        return self._sender.send(calls.post("/profiles", profile, models.Profile))

    def update(self, profile_id: str, changes: sent.ProfileChanges) -> Result[models.Profile]:
        """Change what is named."""
        return self._sender.send(calls.patch(at("profiles", profile_id), changes, models.Profile))


class IdentityMappings:
    """What customers are called in other systems."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def list(
        self, *, customer_id: str, limit: int | None = None, offset: int | None = None
    ) -> Result[models.Page[models.IdentityMapping]]:
        """Return a page of a customer's mappings."""
        return self._sender.send(
            calls.listing(
                "/identity-mappings", models.IdentityMapping, customer_id=customer_id, limit=limit, offset=offset
            )
        )

    def iterate(self, *, customer_id: str, limit: int | None = None) -> Iterator[models.IdentityMapping]:
        """Yield all of a customer's mappings."""
        return self._sender.iterate(
            calls.listing("/identity-mappings", models.IdentityMapping, customer_id=customer_id, limit=limit)
        )

    def create(self, mapping: sent.NewIdentityMapping) -> Result[models.IdentityMapping]:
        """Say what a customer is called in another system."""
        return self._sender.send(calls.post("/identity-mappings", mapping, models.IdentityMapping))

    def resolve(
        self, *, external_id: str, external_system: str | None = None, identifier_type: str | None = None
    ) -> Result[models.Resolved]:
        """Return whom an id in another system stands for."""
        return self._sender.send(
            calls.get(
                "/identity-mappings/resolve",
                models.Resolved,
                external_id=external_id,
                external_system=external_system,
                identifier_type=identifier_type,
            )
        )


class Labs:
    """Laboratory reports."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def list(
        self, *, customer_id: str, status: str | None = None, limit: int | None = None, offset: int | None = None
    ) -> Result[models.Page[models.LabResult]]:
        """Return a page of a customer's reports, newest first."""
        return self._sender.send(
            calls.listing("/labs", models.LabResult, customer_id=customer_id, status=status, limit=limit, offset=offset)
        )

    def iterate(
        self, *, customer_id: str, status: str | None = None, limit: int | None = None
    ) -> Iterator[models.LabResult]:
        """Yield all of a customer's reports, newest first."""
        return self._sender.iterate(
            calls.listing("/labs", models.LabResult, customer_id=customer_id, status=status, limit=limit)
        )

    def get(self, lab_id: str) -> Result[models.LabResult]:
        """Return one report."""
        return self._sender.send(calls.get(at("labs", lab_id), models.LabResult))

    def create(self, lab: sent.NewLab) -> Result[models.LabResult]:
        """Add a report, or correct the one of the same upload; with an `upload_id` it may be sent again."""
        repeatable = isinstance(lab.upload_id, str)
        return self._sender.send(calls.post("/labs", lab, models.LabResult, repeatable=repeatable))

    def update(self, lab_id: str, changes: sent.LabChanges) -> Result[models.LabResult]:
        """Change the status or the notes of a report."""
        return self._sender.send(calls.patch(at("labs", lab_id), changes, models.LabResult))


class Protocols:
    """Plans of treatment."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def list(
        self, *, customer_id: str, status: str | None = None, limit: int | None = None, offset: int | None = None
    ) -> Result[models.Page[models.Protocol]]:
        """Return a page of a customer's protocols, newest first."""
        return self._sender.send(
            calls.listing(
                "/protocols", models.Protocol, customer_id=customer_id, status=status, limit=limit, offset=offset
            )
        )

    def iterate(
        self, *, customer_id: str, status: str | None = None, limit: int | None = None
    ) -> Iterator[models.Protocol]:
        """Yield all of a customer's protocols, newest first."""
        return self._sender.iterate(
            calls.listing("/protocols", models.Protocol, customer_id=customer_id, status=status, limit=limit)
        )

    def get(self, protocol_id: str) -> Result[models.Protocol]:
        """Return one protocol."""
        return self._sender.send(calls.get(at("protocols", protocol_id), models.Protocol))

    def create(self, protocol: sent.NewProtocol) -> Result[models.Protocol]:
        """Create a protocol."""
        return self._sender.send(calls.post("/protocols", protocol, models.Protocol))

    def update(self, protocol_id: str, changes: sent.ProtocolChanges) -> Result[models.Protocol]:
        """Change what is named; Conflict says where the status can go."""
        return self._sender.send(calls.patch(at("protocols", protocol_id), changes, models.Protocol))


class Events:
    """The clinical timeline."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def list(
        self,
        *,
        customer_id: str,
        type: str | None = None,  # noqa: A002 the name on the wire
        from_date: date | datetime | None = None,
        to_date: date | datetime | None = None,
        limit: int | None = None,
        offset: int | None = None,
    ) -> Result[models.Page[models.Event]]:
        """Return a page of a customer's timeline, newest first."""
        return self._sender.send(
            calls.listing(
                "/events",
                models.Event,
                customer_id=customer_id,
                type=type,
                from_date=from_date,
                to_date=to_date,
                limit=limit,
                offset=offset,
            )
        )

    def iterate(self, *, customer_id: str, limit: int | None = None) -> Iterator[models.Event]:
        """Yield a customer's whole timeline, newest first."""
        return self._sender.iterate(calls.listing("/events", models.Event, customer_id=customer_id, limit=limit))

    def create(self, event: sent.NewEvent) -> Result[models.Event]:
        """Add an entry to a customer's timeline."""
        return self._sender.send(calls.post("/events", event, models.Event))


class Conversations:
    """What was said between customers and the assistant."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def list(
        self,
        *,
        customer_id: str,
        session_id: str | None = None,
        channel: str | None = None,
        limit: int | None = None,
        offset: int | None = None,
    ) -> Result[models.Page[models.ConversationLine]]:
        """Return a page of lines; 50 unless `limit` says otherwise, 500 at most."""
        return self._sender.send(
            calls.listing(
                "/conversation-history",
                models.ConversationLine,
                customer_id=customer_id,
                session_id=session_id,
                channel=channel,
                limit=limit,
                offset=offset,
            )
        )

    def iterate(self, *, customer_id: str, limit: int | None = None) -> Iterator[models.ConversationLine]:
        """Yield all lines of a customer."""
        return self._sender.iterate(
            calls.listing("/conversation-history", models.ConversationLine, customer_id=customer_id, limit=limit)
        )

    def append(self, lines: sent.NewLines) -> Result[tuple[models.ConversationLine, ...]]:
        """Append lines to a conversation."""
        return self._sender.send(calls.post("/conversation-history", lines, tuple[models.ConversationLine, ...]))


class Treatments:
    """Treatments, from the request to their end."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def list(
        self,
        *,
        customer_id: str,
        status: str | None = None,
        rimo_treatment_id: str | None = None,
        limit: int | None = None,
        offset: int | None = None,
    ) -> Result[models.Page[models.Treatment]]:
        """Return a page of a customer's treatments, newest first."""
        return self._sender.send(
            calls.listing(
                "/treatments",
                models.Treatment,
                customer_id=customer_id,
                status=status,
                rimo_treatment_id=rimo_treatment_id,
                limit=limit,
                offset=offset,
            )
        )

    def iterate(
        self, *, customer_id: str, status: str | None = None, limit: int | None = None
    ) -> Iterator[models.Treatment]:
        """Yield all of a customer's treatments, newest first."""
        return self._sender.iterate(
            calls.listing("/treatments", models.Treatment, customer_id=customer_id, status=status, limit=limit)
        )

    def get(self, treatment_id: str) -> Result[models.Treatment]:
        """Return one treatment."""
        return self._sender.send(calls.get(at("treatments", treatment_id), models.Treatment))

    def create(self, treatment: sent.NewTreatment) -> Result[models.Treatment]:
        """Ask for a treatment."""
        return self._sender.send(calls.post("/treatments", treatment, models.Treatment))

    def update(self, treatment_id: str, changes: sent.TreatmentChanges) -> Result[models.Treatment]:
        """Change what is named; Conflict says where the status can go."""
        return self._sender.send(calls.patch(at("treatments", treatment_id), changes, models.Treatment))


class Prescriptions:
    """Prescriptions on their way."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def list(
        self,
        *,
        customer_id: str,
        treatment_id: str | None = None,
        status: str | None = None,
        limit: int | None = None,
        offset: int | None = None,
    ) -> Result[models.Page[models.Prescription]]:
        """Return a page of a customer's prescriptions, newest first."""
        return self._sender.send(
            calls.listing(
                "/prescriptions",
                models.Prescription,
                customer_id=customer_id,
                treatment_id=treatment_id,
                status=status,
                limit=limit,
                offset=offset,
            )
        )

    def iterate(
        self, *, customer_id: str, treatment_id: str | None = None, limit: int | None = None
    ) -> Iterator[models.Prescription]:
        """Yield all of a customer's prescriptions, newest first."""
        return self._sender.iterate(
            calls.listing(
                "/prescriptions", models.Prescription, customer_id=customer_id, treatment_id=treatment_id, limit=limit
            )
        )

    def get(self, prescription_id: str) -> Result[models.Prescription]:
        """Return one prescription."""
        return self._sender.send(calls.get(at("prescriptions", prescription_id), models.Prescription))


class Wearables:
    """What wearables measured."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def readings(
        self,
        *,
        customer_id: str,
        data_type: str | None = None,
        from_date: date | datetime | None = None,
        to_date: date | datetime | None = None,
        limit: int | None = None,
        offset: int | None = None,
    ) -> Result[models.Page[models.Reading]]:
        """Return a page of readings, newest first."""
        return self._sender.send(_readings(customer_id, data_type, from_date, to_date, limit=limit, offset=offset))

    def iterate_readings(
        self,
        *,
        customer_id: str,
        data_type: str | None = None,
        from_date: date | datetime | None = None,
        to_date: date | datetime | None = None,
        limit: int | None = None,
    ) -> Iterator[models.Reading]:
        """Yield all readings of a time, newest first."""
        return self._sender.iterate(_readings(customer_id, data_type, from_date, to_date, limit=limit))

    def ingest(self, readings: sent.NewReadings) -> Result[models.Ingested]:
        """Send readings; sending them again changes nothing, so that is done where no answer came."""
        return self._sender.send(calls.post("/wearables/readings", readings, models.Ingested, repeatable=True))

    def daily_stats(
        self,
        *,
        customer_id: str,
        data_type: str | None = None,
        from_date: date | None = None,
        to_date: date | None = None,
        limit: int | None = None,
        offset: int | None = None,
    ) -> Result[models.Page[models.DailyStat]]:
        """Return a page of the statistics of days, newest first."""
        return self._sender.send(
            calls.listing(
                "/wearables/daily-stats",
                models.DailyStat,
                customer_id=customer_id,
                data_type=data_type,
                from_date=from_date,
                to_date=to_date,
                limit=limit,
                offset=offset,
            )
        )


def _readings(
    customer_id: str,
    data_type: str | None,
    from_date: date | datetime | None,
    to_date: date | datetime | None,
    **window: int | None,
) -> Call[models.Page[models.Reading]]:
    return calls.listing(
        "/wearables/readings",
        models.Reading,
        customer_id=customer_id,
        data_type=data_type,
        from_date=from_date,
        to_date=to_date,
        **window,
    )


class PatientGraphClient:
    """The patient graph API; each resource is a member. Use it as a context, or close it.

    `base_url` ends with `/graph`. `token` is an access token, or is called for one, and again when the server no
    longer takes it. `timeout` in seconds is of each request, `retries` says what is sent again. `transport` takes the
    place of the network.
    """

    def __init__(
        self,
        base_url: str,
        token: str | Callable[[], str] | None = None,
        *,
        timeout: float = TIMEOUT,
        retries: Retries | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._http = httpx.Client(base_url=base_url, timeout=timeout, transport=transport)
        self.sender = Sender(self._http, token, retries or Retries())
        self.profiles = Profiles(self.sender)
        self.identity_mappings = IdentityMappings(self.sender)
        self.labs = Labs(self.sender)
        self.protocols = Protocols(self.sender)
        self.events = Events(self.sender)
        self.conversations = Conversations(self.sender)
        self.treatments = Treatments(self.sender)
        self.prescriptions = Prescriptions(self.sender)
        self.wearables = Wearables(self.sender)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        self.close()

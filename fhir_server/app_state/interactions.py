"""Making, changing, deleting and querying states (`smart.md` ST1, ST4)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import cached_property
from typing import Final, TypeVar

from capability.smart import APP_STATE_PATH
from fhir_server.access import Caller
from fhir_server.app_state.call import Call, record_of
from fhir_server.app_state.document import MAXIMUM_BYTES, basic, bundle, headers_of, local_subject, read_state
from fhir_server.app_state.permission import Permission
from fhir_server.app_state.rules import parse_rules
from fhir_server.errors import (
    ElementFixed,
    InteractionNotSupported,
    InvalidParameter,
    NotAuthorised,
    PreconditionFailed,
    PreconditionRequired,
    UnknownAddress,
)
from fhir_server.fhir.body import read_decoded
from fhir_server.fhir.conditions import expected_version
from fhir_server.fhir.json_body import encode_json
from fhir_server.fhir.negotiation import first, require_json_acceptable, require_json_body
from fhir_server.fhir.parse.search import parse_pairs
from fhir_server.fhir.response import Response
from fhir_server.oauth.service import OAuthService
from storage.access import Right
from storage.app_states import (
    AppState,
    StateKey,
    add_state,
    change_state,
    count_states,
    delete_state,
    find_state,
    find_states,
)
from storage.errors import ResourceNotFound
from storage.repositories.platform import ClientRepository
from storage.resources import ANY_VERSION
from storage.transaction import Change, UnitOfWork

T = TypeVar("T")

MOST_STATES: Final = 10
"""So many states there may be of one coding and subject: one is what apps need, and a query answers with all."""
OF_TYPE: Final = ("GET", "HEAD", "POST", "OPTIONS")
OF_STATE: Final = ("PUT", "DELETE", "OPTIONS")
API: Final = "app-state"


class Interaction:
    """One request of a caller who is known; `answer` does what it asks."""

    def __init__(self, call: Call, caller: Caller, service: OAuthService) -> None:
        self._call = call
        self._caller = caller
        self._service = service
        self._fhir_base = service.settings.fhir_base
        self._permission = Permission(caller, (), service.store)

    async def answer(self) -> Response:
        """Return the answer, which is on record; raises what is refused."""
        async with self._service.database.platform_read() as connection:
            client = await ClientRepository(connection).find(self._caller.client_id)
        if client is not None and client.is_active:
            self._permission = replace(self._permission, rules=parse_rules(client.app_states))
        pairs = parse_pairs(self._call.raw_query.decode("latin-1"))
        require_json_acceptable(self._call.headers.get("accept", ""), first(pairs, "_format"))
        method, state_id = self._call.method, self._call.state_id
        if state_id is not None:
            return await self._of_state(state_id)
        if not self._call.is_type:
            raise UnknownAddress("Nothing is served at this address; states are at /app-state/Basic.")
        if method == "POST":
            return await self._create()
        if method in {"GET", "HEAD"}:
            return await self._query(pairs)
        raise InteractionNotSupported(OF_TYPE)

    @cached_property
    def _base(self) -> str:
        return f"{self._service.settings.base_url}{APP_STATE_PATH}"

    async def _require(self, key: StateKey, right: Right) -> None:
        self._call.key = key
        if not await self._permission.permits(key, right):
            raise NotAuthorised(
                "The access token, the role or the client's registration does not allow this with these states.",
                scope=f"{'user' if self._caller.patient is None else 'patient'}/Basic.{right.value}",
            )

    async def _body(self) -> bytes:
        headers = self._call.headers
        require_json_body(headers.get("content-type", ""), headers.get("content-encoding", ""))
        return await read_decoded(self._call.receive, headers, MAXIMUM_BYTES)

    async def _changing(self, work: Callable[[UnitOfWork], Awaitable[T]], status: int) -> T:
        """Run a change and insert its record in the same transaction, again where another writer was in the way."""

        async def on_record(unit: UnitOfWork) -> T:
            done = await work(unit)
            await self._service.audit.insert(unit, [record_of(self._call, status, unit.organization_id)])
            return done

        caller = self._caller
        change = Change(caller.subject, caller.client_id, API, self._call.origin.request_id)
        return await self._service.database.transact(caller.organization_id, change, on_record)

    def _shown(self, status: int, state: AppState, **more: str) -> Response:
        return Response(status, encode_json(basic(state, self._fhir_base)), {**headers_of(state), **more})

    # --- all states ---------------------------------------------------------------------------------------------------

    async def _create(self) -> Response:
        sent = read_state(await self._body(), self._fhir_base)
        await self._require(sent.key, Right.CREATE)

        async def work(unit: UnitOfWork) -> AppState:
            if await count_states(unit, sent.key) >= MOST_STATES:
                raise ElementFixed(
                    f"There are {MOST_STATES} states of this code and subject; change or delete one.", "Basic.code"
                )
            made = await add_state(unit, sent.key, sent.extensions)
            self._call.made_id = made.id
            return made

        state = await self._changing(work, 201)
        return self._shown(201, state, Location=f"{self._base}/Basic/{state.id}")

    async def _query(self, pairs: tuple[tuple[str, str], ...]) -> Response:
        key = _asked([pair for pair in pairs if pair[0] != "_format"], self._fhir_base)
        await self._require(key, Right.SEARCH)
        organization = self._caller.organization_id
        states = await find_states(self._service.database, organization, key)
        body = encode_json(bundle(states, key, self._base, self._fhir_base))
        await self._service.audit.record(record_of(self._call, 200, organization, ids=[each.id for each in states]))
        return Response(200, body, {})

    # --- one state ----------------------------------------------------------------------------------------------------

    async def _of_state(self, state_id: str) -> Response:
        state = await find_state(self._service.database, self._caller.organization_id, state_id)
        if self._call.method not in {"PUT", "DELETE"}:
            if state is not None and state.is_deleted and await self._permission.permits(state.key, Right.SEARCH):
                self._call.key = state.key
                raise _deleted()
            raise InteractionNotSupported(OF_STATE)
        right = Right.UPDATE if self._call.method == "PUT" else Right.DELETE
        if state is None:
            raise ResourceNotFound("Basic", state_id)
        if not await self._permission.permits(state.key, right):
            if not await self._permission.permits(state.key, Right.SEARCH):
                raise ResourceNotFound("Basic", state_id)
            await self._require(state.key, right)
        self._call.key = state.key
        if state.is_deleted:
            raise _deleted()
        version = expected_version(self._call.headers.get("if-match"))
        if version is None or version == ANY_VERSION:
            raise PreconditionRequired('Name the version that you know: If-Match: W/"3", the ETag of its answer.')
        return await (self._update(state, version) if right is Right.UPDATE else self._delete(state, version))

    async def _update(self, state: AppState, version: int) -> Response:
        sent = read_state(await self._body(), self._fhir_base, state.id)
        if sent.key != state.key:
            raise PreconditionFailed("Code and subject of a state never change; make another state instead.")

        async def work(unit: UnitOfWork) -> AppState:
            changed = await change_state(unit, state.id, version, sent.extensions)
            if changed is None:
                raise _stale()
            return changed

        return self._shown(200, await self._changing(work, 200))

    async def _delete(self, state: AppState, version: int) -> Response:
        async def work(unit: UnitOfWork) -> None:
            if await delete_state(unit, state.id, version) is None:
                raise _stale()

        await self._changing(work, 204)
        return Response(204, b"", {})


def _stale() -> PreconditionFailed:
    return PreconditionFailed("The state is not at the version that If-Match names; query it again first.")


def _deleted() -> PreconditionFailed:
    return PreconditionFailed("The state was deleted; its id is never used again.")


def _asked(pairs: list[tuple[str, str]], fhir_base: str) -> StateKey:
    """Return what a query asks for; raises InvalidParameter for anything but one code and one subject, or none."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise InvalidParameter("", "Give each parameter once.")
    system, bar, code = found.get("code", "").partition("|")
    if not system or not bar or not code or "|" in code:
        raise InvalidParameter("code", "Give the code of the states: code=system|code.")
    if found.keys() == {"code", "subject:missing"} and found["subject:missing"] == "true":
        return StateKey(system, code, None)
    if found.keys() != {"code", "subject"}:
        raise InvalidParameter("subject", "Beside code give subject, or subject:missing=true, and nothing else.")
    subject = local_subject(found["subject"], fhir_base)
    if subject is None:
        raise InvalidParameter("subject", "Give the whole address of a patient or user below the FHIR base.")
    return StateKey(system, code, subject)

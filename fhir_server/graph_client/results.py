"""What a call comes to: `Ok` with its data, or `Failed` with one of a closed set of errors.

    result = client.profiles.get("cust_123")
    if result.ok:
        print(result.data.email)
    else:
        match result.error:
            case NotFound(): ...
            case RateLimited(retry_after=seconds): ...

`unwrap` is for callers who would rather have an exception.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, Literal, NoReturn, TypeAlias, TypeVar

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Issue:
    """What does not fit of what was sent: the way to the member or parameter, and why."""

    path: tuple[str | int, ...]
    message: str


@dataclass(frozen=True, slots=True)
class ValidationFailed:
    """400: what was sent does not fit; `issues` say where."""

    message: str
    issues: tuple[Issue, ...] = ()


@dataclass(frozen=True, slots=True)
class Unauthorized:
    """401: the token is missing, expired or not valid."""

    message: str


@dataclass(frozen=True, slots=True)
class Forbidden:
    """403: the caller may not do this, or there is nothing; who is bound to one customer cannot tell which."""

    message: str


@dataclass(frozen=True, slots=True)
class NotFound:
    """404: there is no such row."""

    message: str


@dataclass(frozen=True, slots=True)
class Conflict:
    """409: a value is in use (`issues`), or the status cannot go there (`allowed`: where it can go)."""

    message: str
    allowed: tuple[str, ...] = ()
    issues: tuple[Issue, ...] = ()


@dataclass(frozen=True, slots=True)
class RateLimited:
    """429: too many requests; after `retry_after` seconds the next one is taken."""

    message: str
    retry_after: int


@dataclass(frozen=True, slots=True)
class Refused:
    """Any other 4xx: the request cannot be taken as it is; `code` as in the API document."""

    message: str
    status: int
    code: str


@dataclass(frozen=True, slots=True)
class ServerFailed:
    """5xx, or an answer that is none of this API's; `request_id` is what the server's log knows it by."""

    message: str
    status: int
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Unreachable:
    """No answer came: the server could not be reached, or not in time. A change may have been made nevertheless."""

    message: str


Error: TypeAlias = (
    ValidationFailed
    | Unauthorized
    | Forbidden
    | NotFound
    | Conflict
    | RateLimited
    | Refused
    | ServerFailed
    | Unreachable
)
"""All that can go wrong."""


class PatientGraphError(Exception):
    """A call failed whose result was unwrapped; `error` says how."""

    def __init__(self, error: Error) -> None:
        super().__init__(f"{type(error).__name__}: {error.message}")
        self.error = error


@dataclass(frozen=True, slots=True)
class Ok(Generic[T_co]):
    """The call was answered; `created` says whether by a new row (201)."""

    data: T_co
    created: bool = False
    ok: Literal[True] = field(default=True, init=False)

    def unwrap(self) -> T_co:
        """Return the data."""
        return self.data


@dataclass(frozen=True, slots=True)
class Failed:
    """The call failed."""

    error: Error
    ok: Literal[False] = field(default=False, init=False)

    def unwrap(self) -> NoReturn:
        """Raise PatientGraphError."""
        raise PatientGraphError(self.error)


Result: TypeAlias = Ok[T_co] | Failed
"""What a call comes to."""

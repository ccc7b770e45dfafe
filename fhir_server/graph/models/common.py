"""What requests and answers have in common: names in camelCase, nothing unknown, decimals with their digits."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any, Final, Generic, Literal, TypeAlias, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
    WrapValidator,
    model_validator,
)
from pydantic.alias_generators import to_camel

from fhir_server.fhir.json_body import encode_json

T = TypeVar("T")

LONGEST_KEY: Final = 255
LONGEST_TEXT: Final = 65_536
MOST_MEMBERS: Final = 100
"""Of an object whose members are known: every unknown one is told by name, so of what has more only that it has."""
LONGEST_FREE: Final = 262_144
"""Bytes of JSON: a page of a list has a hundred of them."""
DATE_LENGTH: Final = 10
_DATED: Final = re.compile(r"\d{4}-\d\d-\d\d")

Key = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_KEY, pattern=r"^[^\x00-\x1f]+$")]
"""An id, of ours or of another system."""
Word = Annotated[str, StringConstraints(max_length=LONGEST_KEY)]
"""A text that is found by an index."""
Text = Annotated[str, StringConstraints(max_length=LONGEST_TEXT)]


def _dated(value: Any) -> Any:
    """Refuse numbers, which would be taken for seconds since 1970."""
    if not isinstance(value, str) or _DATED.match(value) is None:
        raise ValueError("has to begin with a date: YYYY-MM-DD")
    return value


def _to_its_end(value: Any) -> Any:
    """Return the last instant of a day, or the instant."""
    return f"{value}T23:59:59.999999Z" if isinstance(value, str) and len(value) == DATE_LENGTH else value


def _in_utc(moment: datetime) -> datetime:
    """Return an instant in UTC, which one that names no zone is in already (internal_tables.md)."""
    try:
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except OverflowError:
        raise ValueError("has to be between the years 1 and 9999 in UTC") from None


def _as_sent(value: Any, check: Callable[[Any], Any]) -> Any:
    check(value)
    return value


Instant = Annotated[datetime, BeforeValidator(_dated), AfterValidator(_in_utc)]
"""An instant; in UTC where it names no zone; a day alone is its beginning."""
EndInstant = Annotated[datetime, BeforeValidator(_to_its_end), BeforeValidator(_dated), AfterValidator(_in_utc)]
"""An instant that ends something: a day alone is its end."""
Day = Annotated[date, BeforeValidator(_dated)]
NUMBER: Final = WithJsonSchema({"type": "number"})
Number = Annotated[Decimal, NUMBER]
"""A decimal, a number in JSON."""
AsSent: Final = WrapValidator(_as_sent)
"""Marks JSON that is checked against its type, and kept as it was sent: unknown members, and digits of numbers."""


def at_most(most: int) -> BeforeValidator:
    """Return what refuses an object or a list of more, before what is in it is looked at.

    Every fault is told with its place: those of a body of some megabytes would take seconds to find, and far more room
    than the body.
    """

    def require_few(value: Any) -> Any:
        if isinstance(value, dict | list) and len(value) > most:
            raise ValueError(f"has to have {most} at most")
        return value

    return BeforeValidator(require_few)


def _of_bearable_size(value: Any) -> Any:
    if isinstance(value, dict | list) and len(encode_json(value)) > LONGEST_FREE:
        raise ValueError(f"has to be of {LONGEST_FREE:,} bytes at most")
    return value


Free = Annotated[Any, AfterValidator(_of_bearable_size)]
"""Any JSON: what it says is the client's affair, how much of it there is every reader's."""
FreeObject = Annotated[dict[str, Any], AfterValidator(_of_bearable_size)]
"""An object whose members are the client's affair."""


class Sent(BaseModel):
    """What a client sends; unknown members are refused. `changes` gives what it says, by column."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", strict=False, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _is_small(cls, value: Any) -> Any:
        if isinstance(value, dict) and len(value) > MOST_MEMBERS:
            raise ValueError("has far more members than there are")
        return value

    def changes(self) -> dict[str, Any]:
        """Return the columns that the client named, with the values that it gave."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class Shown(BaseModel):
    """What an answer shows, for the OpenAPI description; rows are written by `wire.py`."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class Success(BaseModel, Generic[T]):
    """The answer to one thing."""

    success: Literal[True] = True
    data: T


class Pagination(BaseModel):
    """Where a page lies in its list."""

    page: int = Field(description="Number of the page, from 1", examples=[1])
    limit: int = Field(examples=[20])
    offset: int = Field(examples=[0])
    total: int = Field(examples=[156])
    hasMore: bool = Field(examples=[True])  # noqa: N815 the name on the wire


class Listed(BaseModel, Generic[T]):
    """A page of a list."""

    success: Literal[True] = True
    data: list[T]
    pagination: Pagination


class ErrorBody(BaseModel):
    """What went wrong."""

    code: str = Field(examples=["VALIDATION_ERROR"])
    message: str = Field(examples=["Invalid request body"])
    details: dict[str, Any] | None = Field(
        None, examples=[{"issues": [{"path": ["dateOfBirth"], "message": "Invalid date format"}]}]
    )
    retryAfter: int | None = Field(None, description="Seconds")  # noqa: N815 the name on the wire
    requestId: str | None = Field(None, description="With INTERNAL_ERROR: what to look for in the log")  # noqa: N815


class Failure(BaseModel):
    """The answer to what cannot be done."""

    success: Literal[False] = False
    error: ErrorBody


ERRORS: Final[Mapping[int, str]] = {
    400: "What was sent does not fit",
    401: "No valid token",
    403: "The caller may not do this",
    404: "There is no such row",
    409: "Another row, or the state of this one, is in the way",
    413: "The body is too large",
    415: "The body is of another kind than JSON",
    429: "Too many requests",
    500: "The server failed",
    503: "The server cannot answer now",
}


Responses: TypeAlias = dict[int | str, dict[str, Any]]


def answers(model: Any, status: int = 200, *, errors: tuple[int, ...] = ()) -> Responses:
    """Return the `responses` of an endpoint for OpenAPI: the model of its success, and the errors it may answer."""
    may_fail = sorted({400, 401, 403, 429, 500, 503, *errors})
    found: Responses = {status: {"model": model}}
    return found | {each: {"model": Failure, "description": ERRORS[each]} for each in may_fail}

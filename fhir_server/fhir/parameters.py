"""Plain parameters of interactions that are no search: whole numbers, instants, and addresses made of them."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlencode

from fhir_server.errors import InvalidParameter
from fhir_server.fhir.negotiation import Pairs, first
from fhir_server.settings import Settings
from storage.search.values import date_range


def microseconds(text: str, name: str) -> tuple[int, int]:
    """Return the half-open range of a date or instant, a space standing for `+`; raises InvalidParameter."""
    try:
        return date_range(text.replace(" ", "+"))
    except ValueError:
        raise InvalidParameter(name, "give a date or an instant: 2024-05-31T10:00:00Z") from None


def milliseconds(text: str, name: str) -> tuple[int, int]:
    """Return the half-open range of a date or instant in milliseconds; raises InvalidParameter."""
    low, high = microseconds(text, name)
    return low // 1000, -(-high // 1000)


def whole_number(pairs: Pairs, name: str, default: int) -> int:
    """Return a parameter that is a whole number; raises InvalidParameter."""
    text = first(pairs, name)
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise InvalidParameter(name, "give a whole number, 0 or more")
    return int(text)


def page_size(pairs: Pairs, settings: Settings) -> int:
    """Return how many entries a page has: `_count`, or what is usual here, and no more than is allowed here.

    Raises InvalidParameter.
    """
    return min(whole_number(pairs, "_count", settings.default_count), settings.max_count)


def since(pairs: Pairs) -> int | None:
    """Return the instant of `_since` in milliseconds, None where it is not given; raises InvalidParameter."""
    text = first(pairs, "_since")
    return milliseconds(text, "_since")[0] if text else None


def page_links(
    address: str, used: Sequence[tuple[str, str]], place: str, here: str | None, following: str | None
) -> list[tuple[str, str]]:
    """Return the links `self` and, where the answer goes on, `next` of one that only goes forward.

    `place` is the parameter that carries where a page begins: this one `here`, the next at `following`.
    """
    links = [("self", address_with(address, [*used, (place, here)] if here else used))]
    if following:
        links.append(("next", address_with(address, [*used, (place, following)])))
    return links


def address_with(address: str, pairs: Sequence[tuple[str, str]]) -> str:
    """Return the address with a query."""
    return f"{address}?{urlencode(pairs)}" if pairs else address

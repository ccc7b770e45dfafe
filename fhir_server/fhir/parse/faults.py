"""What a parser may meet that is not a search: told apart because `Prefer: handling` treats them differently."""

from __future__ import annotations


class UnknownParameter(Exception):
    """The resource type has no such search parameter: an error or a warning, as the client prefers (search.html).

    `name` is the parameter as it was sent.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class MalformedValue(Exception):
    """A value does not have the form its search type demands; the message names the form. Always an error."""


class UnsupportedSearch(Exception):
    """A known feature of searches that this server does not have; the message names the remedy. Always an error."""


class SearchTooLarge(Exception):
    """A limit was passed (settled §5); the message names the limit. Always an error."""

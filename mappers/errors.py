"""What can go wrong in a mapping.

MappingError            a declaration that cannot work; raised when it is built, never for a client's input
Refusal                 a JSON value that a column cannot hold; caught by the lens, never leaves the mappers
"""

from __future__ import annotations


class MappingError(Exception):
    """A mapper's declaration contradicts itself; `expression` is the element or column concerned."""

    def __init__(self, message: str, expression: str) -> None:
        super().__init__(f"{expression}: {message}")
        self.expression = expression


class Refusal(Exception):
    """A column cannot hold the value.

    A nullable column then becomes NULL and the residual keeps the value; otherwise, or when `final`, the mapper does
    not claim the resource (settled §1.3).
    """

    def __init__(self, reason: str, *, final: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.final = final

"""Paths of FHIRPath Patch: the part of FHIRPath that leads to elements (FHIR R4 fhirpatch.html; decision 16).

Names, indices, `where(…)`, `first()`, `last()`, `tail()`, `skip(n)`, `take(n)`, `single()`, `ofType(T)`, `as(T)`,
`extension(url)`; within conditions also literals, comparisons, `and`, `or`, `not()`, `exists(…)`, `empty()`,
`startsWith(…)`. Every result knows where it stands, which neither the values that a library computes do
(`fhir_server/validation/fhirpath.py`) nor those of search parameters (`storage/projection/paths.py`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

from fhir_server.fhir.patch.places import Node, children

MAX_LENGTH: Final = 1_000
MAX_DEPTH: Final = 20
_TOKEN: Final = re.compile(
    r"\s*(?:(?P<string>'(?:[^'\\]|\\.)*+')|(?P<number>\d+(?:\.\d+)?)|(?P<date>@[0-9T:.+\-Z]+)"
    r"|(?P<name>\$?[A-Za-z_][A-Za-z0-9_]*)|`(?P<delimited>[^`]+)`|(?P<symbol>!=|<=|>=|[.()\[\],=<>]))"
)
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "f": "\f"}
_ESCAPE: Final = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|(.))", re.DOTALL)
_ROOTS: Final = frozenset({"Resource", "DomainResource"})

Nodes = list[Node]
Expression = Callable[[Nodes, Node], Nodes]
"""What a part of a path makes of its input, given `$this`."""


class PathError(Exception):
    """A path cannot be read, or asks for what patches do not take; the message names no value."""


@dataclass(frozen=True, slots=True)
class Path:
    """A path that was read. `owner` and `name` are its parts when it ends in the plain name of an element."""

    whole: Expression
    owner: Expression | None
    name: str

    def nodes(self, root: Node) -> Nodes:
        """Return what the path leads to in a resource; raises PathError and BodyTooComplex."""
        return self.whole([root], root)


@lru_cache(maxsize=256)
def parse_path(text: str) -> Path:
    """Return a path; raises PathError."""
    if len(text) > MAX_LENGTH:
        raise PathError(f"its path has more than {MAX_LENGTH} characters")
    reader = _Reader(_tokens(text))
    whole = reader.expression()
    if reader.kind:
        raise PathError("its path cannot be read to the end")
    owner, name = reader.ending
    return Path(whole, owner, name)


def _tokens(text: str) -> list[tuple[str, str]]:
    tokens: list[tuple[str, str]] = []
    position, end = 0, len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            raise PathError("its path cannot be read")
        tokens.append((match.lastgroup, match[match.lastgroup]))
        position = match.end()
    return tokens


class _Reader:
    """Reads the tokens of one path, by recursive descent."""

    def __init__(self, tokens: Sequence[tuple[str, str]]) -> None:
        self._tokens = [*tokens, ("", "")]
        self._at = 0
        self._depth = 0
        self.ending: tuple[Expression | None, str] = (None, "")

    @property
    def kind(self) -> str:
        """The kind of the next token, empty at the end."""
        return self._tokens[self._at][0]

    @property
    def _text(self) -> str:
        return self._tokens[self._at][1]

    def _is(self, *symbols: str) -> bool:
        return self.kind in {"symbol", "name"} and self._text in symbols

    def _next(self) -> str:
        text = self._text
        if not self.kind:
            raise PathError("its path ends too early")
        self._at += 1
        return text

    def _expect(self, symbol: str) -> None:
        if self._next() != symbol:
            raise PathError("its path cannot be read")

    def expression(self) -> Expression:
        """Read up to `or`, the operator that binds least."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise PathError("its path nests too deeply")
        left = self._all_of()
        while self._is("or"):
            self._next()
            left = _either(left, self._all_of())
            self.ending = (None, "")
        self._depth -= 1
        return left

    def _all_of(self) -> Expression:
        left = self._comparison()
        while self._is("and"):
            self._next()
            left = _both(left, self._comparison())
            self.ending = (None, "")
        return left

    def _comparison(self) -> Expression:
        left = self._steps()
        if self._is("=", "!=", "<", ">", "<=", ">="):
            operator = self._next()
            left = _compared(left, operator, self._steps())
            self.ending = (None, "")
        return left

    def _steps(self) -> Expression:
        step = self._first()
        while True:
            if self._is("."):
                self._next()
                step = self._invocation(step)
            elif self._is("["):
                self._next()
                position = self._next()
                self._expect("]")
                if not position.isdecimal():
                    raise PathError("an index in its path is no whole number")
                step = _at(step, int(position))
                self.ending = (None, "")
            elif self._is("as"):
                self._next()
                step = _of_type(step, self._next())
                self.ending = (None, "")
            else:
                return step

    def _first(self) -> Expression:  # noqa: PLR0911 one case per kind of token
        match self.kind:
            case "string":
                return _literal(_unescaped(self._next()[1:-1]))
            case "number":
                return _literal(Decimal(self._next()))
            case "date":
                return _literal(self._next()[1:])
            case "symbol" if self._text == "(":
                self._next()
                inner = self.expression()
                self._expect(")")
                self.ending = (None, "")
                return inner
            case "name" if self._text in {"true", "false"}:
                return _literal(self._next() == "true")
            case "name" if self._text == "$this":
                self._next()
                return _this
            case _:
                return self._invocation(None)

    def _invocation(self, before: Expression | None) -> Expression:
        """Read the name of an element, or a function with its arguments."""
        if self.kind not in {"name", "delimited"}:
            raise PathError("its path cannot be read")
        is_name = self.kind == "name"
        name = self._next()
        if not (is_name and self._is("(")):
            owner = before or _input
            self.ending = (owner, name)
            return _member(owner, name, is_first=before is None)
        self._next()
        arguments: list[Expression] = []
        words = self._text
        while not self._is(")"):
            arguments.append(self.expression())
            if not self._is(")"):
                self._expect(",")
        self._next()
        self.ending = (None, "")
        return _function(name, before or _input, arguments, words)


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match[1], 16)) if match[1] else _ESCAPES.get(match[2], match[2]), text)


# --- expressions ------------------------------------------------------------------------------------------------------


def _input(nodes: Nodes, _this: Node) -> Nodes:
    return nodes


def _this(_nodes: Nodes, this: Node) -> Nodes:
    return [this]


def _computed(value: Any) -> Nodes:
    return [Node(value, None, "")]


def _literal(value: Any) -> Expression:
    return lambda _nodes, _this: _computed(value)


def _member(owner: Expression, name: str, *, is_first: bool) -> Expression:
    def member(nodes: Nodes, this: Node) -> Nodes:
        found = owner(nodes, this)
        if is_first and name[:1].isupper():  # a path may begin with the type of the resource
            return [each for each in found if name == each.type_name or (name in _ROOTS and each.owner is None)]
        return [child for each in found for child in children(each, name)]

    return member


def _at(before: Expression, position: int) -> Expression:
    return lambda nodes, this: before(nodes, this)[position : position + 1]


def _of_type(before: Expression, type_name: str) -> Expression:
    return lambda nodes, this: [each for each in before(nodes, this) if each.type_name == type_name]


def _truth(nodes: Nodes) -> bool | None:
    """Return what a condition says; None for nothing (FHIRPath §4.5: a single value that is no boolean is true)."""
    if not nodes:
        return None
    if len(nodes) > 1:
        raise PathError("a condition in its path gives several values")
    value = nodes[0].value
    return value if isinstance(value, bool) else True


def _either(left: Expression, right: Expression) -> Expression:
    def either(nodes: Nodes, this: Node) -> Nodes:
        this.spend()
        found = {_truth(left(nodes, this)), _truth(right(nodes, this))}
        return _computed(True) if True in found else [] if None in found else _computed(False)

    return either


def _both(left: Expression, right: Expression) -> Expression:
    def both(nodes: Nodes, this: Node) -> Nodes:
        this.spend()
        found = {_truth(left(nodes, this)), _truth(right(nodes, this))}
        return _computed(False) if False in found else [] if None in found else _computed(True)

    return both


def _compared(left: Expression, operator: str, right: Expression) -> Expression:
    def compared(nodes: Nodes, this: Node) -> Nodes:
        this.spend()
        one, other = ([each.value for each in side(nodes, this)] for side in (left, right))
        if not one or not other:
            return []
        if operator in {"=", "!="}:
            return _computed(_is_equal(one, other) is (operator == "="))
        if len(one) != 1 or len(other) != 1:
            raise PathError("a comparison in its path has several values on one side")
        try:
            return _computed(_ORDERS[operator](one[0], other[0]))
        except TypeError:
            raise PathError("a comparison in its path is between values of different kinds") from None

    return compared


_ORDERS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "<": lambda one, other: bool(one < other),
    ">": lambda one, other: bool(one > other),
    "<=": lambda one, other: bool(one <= other),
    ">=": lambda one, other: bool(one >= other),
}


def _is_equal(one: Any, other: Any) -> bool:
    """Compare JSON values: numbers by value, true with true only."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_is_equal, one, other))
    return bool(one == other)


# --- functions --------------------------------------------------------------------------------------------------------


def _function(name: str, before: Expression, arguments: list[Expression], words: str) -> Expression:
    """Return a call of a function; `words` is the first token of its argument, where that is the name of a type."""
    if name in {"ofType", "as"} and len(arguments) == 1:
        return _of_type(before, words)
    made = _FUNCTIONS.get((name, len(arguments)))
    if made is None:
        raise PathError("its path has a function that paths of patches do not take")

    def called(nodes: Nodes, this: Node) -> Nodes:
        this.spend()
        return made(before(nodes, this), arguments, this)

    return called


Function = Callable[[Nodes, Sequence[Expression], Node], Nodes]


def _where(nodes: Nodes, arguments: Sequence[Expression], _this: Node) -> Nodes:
    return [each for each in nodes if _truth(arguments[0]([each], each))]


def _exists(nodes: Nodes, arguments: Sequence[Expression], this: Node) -> Nodes:
    return _computed(bool(_where(nodes, arguments, this) if arguments else nodes))


def _not(nodes: Nodes, _arguments: Sequence[Expression], _this: Node) -> Nodes:
    found = _truth(nodes)
    return [] if found is None else _computed(not found)


def _single(nodes: Nodes, _arguments: Sequence[Expression], _this: Node) -> Nodes:
    if len(nodes) > 1:
        raise PathError("single() in its path finds several elements")
    return nodes


def _value(argument: Expression, this: Node) -> Any:
    found = argument([this], this)
    return found[0].value if len(found) == 1 else None


def _count(argument: Expression, this: Node) -> int:
    number = _value(argument, this)
    if isinstance(number, bool) or not isinstance(number, int | Decimal) or number != int(number):
        raise PathError("a function in its path takes a whole number")
    return max(int(number), 0)


def _extension(nodes: Nodes, arguments: Sequence[Expression], this: Node) -> Nodes:
    url = _value(arguments[0], this)
    found = (child for each in nodes for child in children(each, "extension"))
    return [each for each in found if isinstance(each.value, dict) and each.value.get("url") == url]


def _starts_with(nodes: Nodes, arguments: Sequence[Expression], this: Node) -> Nodes:
    text, start = (nodes[0].value if len(nodes) == 1 else None), _value(arguments[0], this)
    return _computed(text.startswith(start)) if isinstance(text, str) and isinstance(start, str) else []


_FUNCTIONS: Final[Mapping[tuple[str, int], Function]] = {
    ("where", 1): _where,
    ("exists", 0): _exists,
    ("exists", 1): _exists,
    ("empty", 0): lambda nodes, _arguments, _this: _computed(not nodes),
    ("not", 0): _not,
    ("first", 0): lambda nodes, _arguments, _this: nodes[:1],
    ("last", 0): lambda nodes, _arguments, _this: nodes[-1:],
    ("tail", 0): lambda nodes, _arguments, _this: nodes[1:],
    ("skip", 1): lambda nodes, arguments, this: nodes[_count(arguments[0], this) :],
    ("take", 1): lambda nodes, arguments, this: nodes[: _count(arguments[0], this)],
    ("single", 0): _single,
    ("extension", 1): _extension,
    ("startsWith", 1): _starts_with,
}

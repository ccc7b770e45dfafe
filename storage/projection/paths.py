"""The FHIRPath that search parameters use, compiled to functions over plain JSON (hl7.org/fhirpath; R4 fhirpath.html).

Understood: element paths, choice elements with `as`, `as()`, `ofType()`, unions, `where(element = 'text')`,
`where(resolve() is Type)`, `where(hasExtension('url'))`, `extension('url')`, and the conditions made of `exists()`,
`!=` and `and`. Element types come from the definitions, so every value is handed out with its FHIR data type. An
expression outside this subset raises UnsupportedExpression when it is compiled, never when a resource is read.

Two other evaluators stand apart on purpose: patches need the place of every result, constraints of profiles the whole
language, and both belong to the server (`fhir_server/fhir/patch/paths.py`, `fhir_server/validation/fhirpath.py`). This
one runs for every resource that is written, so it is a few look-ups, and its paths can be written as SQL/JSON too.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

from capability.elements import element

Json = Any
Test = Callable[[Json], bool]
Extractor = Callable[[Mapping[str, Any]], list[tuple[Json, str]]]


class UnsupportedExpression(ValueError):
    """An expression that lies outside the subset, or names an element that the definitions do not have."""


@dataclass(frozen=True, slots=True)
class Step:
    """One JSON property on the way to a value; `test` keeps only the items for which it holds.

    `written` is the same test in the language of SQL/JSON (postgresql.org functions-json.html#FUNCTIONS-SQLJSON-PATH).
    """

    key: str
    repeats: bool
    test: Test | None = None
    written: str = ""

    @property
    def spelled(self) -> str:
        """The whole step in that language, in lax mode: an array or a single value alike."""
        return f".{json.dumps(self.key)}[*]" + (f" ? ({self.written})" if self.written else "")


@dataclass(frozen=True, slots=True)
class Path:
    """The way from an object to values of one data type.

    `datatype` is a FHIR type name (`CodeableConcept`, `dateTime`, `Observation.component`); `element` is where the
    definitions say so (`Observation.status`), the key of its binding. A path without steps yields the object itself.
    """

    steps: tuple[Step, ...]
    datatype: str
    element: str

    @property
    def repeats(self) -> bool:
        """Say whether the path can yield more than one value."""
        return any(step.repeats for step in self.steps)

    @property
    def written(self) -> str:
        """The path in the language of SQL/JSON."""
        filters = (f" ? ({step.written})" if step.written else "" for step in self.steps)
        return "$" + "".join(
            f".{json.dumps(step.key)}[*]{each}" for step, each in zip(self.steps, filters, strict=True)
        )

    def values(self, node: Mapping[str, Any]) -> list[Json]:
        """Return the values the path leads to, in document order; nulls that pad primitive arrays are left out."""
        nodes: list[Json] = [node]
        for step in self.steps:
            nodes = follow(nodes, step)
        return nodes


@dataclass(frozen=True, slots=True)
class Condition:
    """A truth about the whole object, such as `deceased.exists() and deceased != false`: always one boolean.

    `written` is the same in the language of SQL/JSON.
    """

    holds: Callable[[Mapping[str, Any]], bool]
    written: str
    datatype: str = "boolean"
    element: str = ""

    @property
    def repeats(self) -> bool:
        """Say whether there can be more than one value: never."""
        return False

    def values(self, node: Mapping[str, Any]) -> list[Json]:
        """Return whether the condition holds."""
        return [self.holds(node)]


def follow(nodes: list[Json], step: Step) -> list[Json]:
    """Return what a step leads to from each of `nodes`."""
    found: list[Json] = []
    for node in nodes:
        value = node.get(step.key)
        if value is None:
            continue
        if type(value) is list:
            found.extend(item for item in value if item is not None)
        else:
            found.append(value)
    if step.test is not None:
        found = [item for item in found if step.test(item)]
    return found


@cache
def compile_paths(context: str, expression: str) -> tuple[Path | Condition, ...]:
    """Return the alternatives of an expression.

    `context` is the type the expression is about: a resource type, or the data type a composite's components start
    from. Raises UnsupportedExpression.
    """
    reader = _Reader(context, expression)
    compiled = reader.read()
    if not compiled:
        raise UnsupportedExpression(f"{expression}: leads nowhere in {context}")
    return compiled


def compile_expression(resource_type: str, expression: str) -> Extractor:
    """Return a function from a resource to the expression's values, each with its FHIR data type.

    Raises UnsupportedExpression.
    """
    alternatives = compile_paths(resource_type, expression)

    def extract(resource: Mapping[str, Any]) -> list[tuple[Json, str]]:
        return [(value, path.datatype) for path in alternatives for value in path.values(resource)]

    return extract


_TOKEN: Final = re.compile(r"\s*(?:('(?:[^'\\]|\\.)*')|([A-Za-z_][A-Za-z0-9_]*)|(!=|[().|=]))")
_ROOTS: Final = frozenset({"Resource", "DomainResource"})


def _tokens(expression: str) -> list[str]:
    tokens = []
    at = 0
    text = expression.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise UnsupportedExpression(f"{expression}: cannot read {text[at:]!r}")
        tokens.append(match[match.lastindex or 0])
        at = match.end()
    return tokens


class _Reader:
    """A recursive-descent reader: `and` binds weakest, then `|`, `as`, and the dot strongest, as in FHIRPath."""

    def __init__(self, context: str, expression: str) -> None:
        self._context = context
        self._expression = expression
        self._left = _tokens(expression)

    def read(self) -> tuple[Path | Condition, ...]:
        """Read the whole expression."""
        result = self._conjunction()
        if self._left:
            raise self._unsupported(f"{self._left[0]!r} is not expected")
        return result

    def _unsupported(self, reason: str) -> UnsupportedExpression:
        return UnsupportedExpression(f"{self._expression} ({self._context}): {reason}")

    def _next(self) -> str:
        if not self._left:
            raise self._unsupported("ends too soon")
        return self._left.pop(0)

    def _take(self, token: str) -> bool:
        if self._left and self._left[0] == token:
            self._left.pop(0)
            return True
        return False

    def _expect(self, token: str) -> None:
        if not self._take(token):
            raise self._unsupported(f"{token!r} is missing")

    def _conjunction(self) -> tuple[Path | Condition, ...]:
        left = self._comparison()
        while self._take("and"):
            left = (_both(self._condition(left), self._condition(self._comparison())),)
        return left

    def _condition(self, alternatives: tuple[Path | Condition, ...]) -> Condition:
        if len(alternatives) == 1 and isinstance(alternatives[0], Condition):
            return alternatives[0]
        raise self._unsupported("'and' stands between conditions only")

    def _comparison(self) -> tuple[Path | Condition, ...]:
        left = self._union()
        if self._take("!="):
            return (_differs(left, self._literal()),)
        return left

    def _literal(self) -> Json:
        written = self._next()
        if written in {"true", "false"}:
            return written == "true"
        if written.startswith("'"):
            return written[1:-1]
        raise self._unsupported(f"{written!r} is no literal")

    def _union(self) -> tuple[Path | Condition, ...]:
        found = self._cast()
        while self._take("|"):
            found += self._cast()
        return found

    def _cast(self) -> tuple[Path | Condition, ...]:
        found = self._dotted()
        while self._take("as"):
            found = self._of_type(found, self._next())
        return found

    def _dotted(self) -> tuple[Path | Condition, ...]:
        if self._take("("):
            found = self._conjunction()
            self._expect(")")
        else:
            found = self._first(self._next())
        while self._take("."):
            name = self._next()
            found = self._function(found, name) if self._take("(") else self._element(found, name)
        return found

    def _first(self, name: str) -> tuple[Path | Condition, ...]:
        start = (Path((), self._context, self._context),)
        if name == self._context or name in _ROOTS:
            return start
        if self._take("("):
            return self._function(start, name)
        return self._element(start, name)

    def _element(self, found: tuple[Path | Condition, ...], name: str) -> tuple[Path | Condition, ...]:
        """Go on to a child element; alternatives whose type lacks it fall away, but not all of them."""
        result: list[Path] = []
        for path in found:
            known = element(path.datatype, name)
            if known is None or isinstance(path, Condition):
                continue
            where = f"{path.datatype}.{name}"
            for datatype in known.datatypes:
                key = f"{name}{datatype[0].upper()}{datatype[1:]}" if known.choice else name
                result.append(Path((*path.steps, Step(key, known.repeats)), datatype, where))
        if not result:
            raise self._unsupported(f"there is no element {name!r}")
        return tuple(result)

    def _function(self, found: tuple[Path | Condition, ...], name: str) -> tuple[Path | Condition, ...]:
        match name:
            case "as" | "ofType":
                result = self._of_type(found, self._next())
            case "where":
                result = self._where(found)
            case "extension":
                url = self._literal()
                result = _filtered(self._element(found, "extension"), *_equals("url", url))
            case "exists":
                result = (_exists(found),)
            case _:
                raise self._unsupported(f"there is no function {name!r}")
        self._expect(")")
        return result

    def _of_type(self, found: tuple[Path | Condition, ...], name: str) -> tuple[Path | Condition, ...]:
        kept = tuple(path for path in found if path.datatype in {name, name[0].lower() + name[1:]})
        if not kept:
            raise self._unsupported(f"no value can be a {name}")
        return kept

    def _where(self, found: tuple[Path | Condition, ...]) -> tuple[Path | Condition, ...]:
        name = self._next()
        if self._take("("):
            if name == "resolve":
                self._expect(")")
                self._expect("is")
                return _filtered(found, *_refers_to(self._next()))
            if name == "hasExtension":
                url = self._literal()
                self._expect(")")
                return _filtered(found, *_has_extension(url))
            raise self._unsupported(f"there is no condition {name!r}")
        self._element(found, name)
        self._expect("=")
        wanted = self._literal()
        return _filtered(found, *_equals(name, wanted))


def _filtered(found: tuple[Path | Condition, ...], test: Test, written: str) -> tuple[Path | Condition, ...]:
    """Return the paths with one more test on their last step, given as a function and in the language of SQL/JSON."""
    result = []
    for path in found:
        if isinstance(path, Condition) or not path.steps:
            raise UnsupportedExpression("only elements can be filtered")
        last = path.steps[-1]
        both = test if last.test is None else _all_of(last.test, test)
        text = written if last.test is None else f"({last.written}) && ({written})"
        result.append(replace(path, steps=(*path.steps[:-1], replace(last, test=both, written=text))))
    return tuple(result)


def _all_of(first: Test, second: Test) -> Test:
    return lambda item: first(item) and second(item)


def _equals(name: str, wanted: Json) -> tuple[Test, str]:
    return lambda item: item.get(name) == wanted, f"@.{json.dumps(name)} == {json.dumps(wanted)}"


def _refers_to(resource_type: str) -> tuple[Test, str]:
    """Return a test for references to a type: `Type/id` or an absolute address that ends so, or a declared type."""
    local, inside = f"{resource_type}/", f"/{resource_type}/"

    def test(item: Json) -> bool:
        text = item.get("reference")
        if text:
            return bool(text.startswith(local) or inside in text)
        return bool(item.get("type") == resource_type)

    declared = f'!exists(@."reference") && @."type" == "{resource_type}"'
    return test, f'@."reference" like_regex "(^|/){local}" || ({declared})'


def _has_extension(url: str) -> tuple[Test, str]:
    written = f'exists(@."extension"[*] ? (@."url" == {json.dumps(url)}))'
    return lambda item: any(extension.get("url") == url for extension in item.get("extension", ())), written


def _exists(found: tuple[Path | Condition, ...]) -> Condition:
    written = " || ".join(f"exists({path.written})" for path in found)
    return Condition(lambda node: any(path.values(node) for path in found), written)


def _differs(found: tuple[Path | Condition, ...], literal: Json) -> Condition:
    """Return the condition that a value is not the literal; of another type it is not either."""
    other = f"@ != {json.dumps(literal)}"
    written = " || ".join(f"exists({path.written} ? ({other} || ({other}) is unknown))" for path in found)
    return Condition(lambda node: any(value != literal for path in found for value in path.values(node)), written)


def _both(first: Condition, second: Condition) -> Condition:
    written = f"({first.written}) && ({second.written})"
    return Condition(lambda node: first.holds(node) and second.holds(node), written)

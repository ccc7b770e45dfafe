"""Tests of a resource's own bytes: PostgreSQL takes them apart itself, SQLite asks `storage/search/bodies.py`.

Both give the same answer: `tests/search/test_bodies.py` compares the folding letter by letter.
"""

from __future__ import annotations

import sys
import unicodedata
from functools import cache
from typing import Any, Final

from sqlalchemy import BindParameter, ColumnElement, bindparam
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.operators import OperatorType
from sqlalchemy.types import Boolean, Text

from capability.search_parameters import SearchParameter
from storage.search.bodies import LONGEST_ORDER, BodyPart, body_name, body_paths
from storage.search.shape import BodyIs, BodySource, BodyStarts
from storage.search.values import HARMLESS_TEXT, LONGEST_TEXT, folded_letter
from storage.tables.metadata import Identifier


def source_of(parameter: SearchParameter, part: BodyPart) -> BodySource:
    """Return where a part of a parameter's values stands in bodies."""
    return BodySource(parameter.resource_type, parameter.code, part)


def body_condition(test: BodyStarts | BodyIs, body: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return the condition on the column of the body."""
    name = test.beginnings if isinstance(test, BodyStarts) else test.wanted
    return _BodyTest(body, test.source, name, folded=isinstance(test, BodyStarts))


def body_extreme(source: BodySource, body: ColumnElement[Any], *, descending: bool, exact: bool) -> ColumnElement[Any]:
    """Return the lowest value that a body holds, or the highest; null when there is none."""
    return _BodyExtreme(body, source, descending=descending, exact=exact)


class _Body(ColumnElement[Any]):
    """An expression over a body, whose parameters are given by name."""

    inherit_cache = True

    def __init__(self, body: ColumnElement[Any], source: BodySource) -> None:
        self.body = body
        self.source = source

    @property
    def _from_objects(self) -> list[Any]:
        return list(self.body._from_objects)  # noqa: SLF001 what a statement has to read from

    @property
    def paths(self) -> list[str]:
        """The ways to the values, in the language of SQL/JSON."""
        source = self.source
        return [path.written for path in body_paths(source.resource_type, source.code, BodyPart(source.part))]

    def content(self, compiler: SQLCompiler, **options: Any) -> str:
        """Return the body in JSON; null for a deleted resource, which PostgreSQL may look at before it knows."""
        return f"convert_from(NULLIF({compiler.process(self.body, **options)}, ''), 'UTF8')::jsonb"

    def values(self, compiler: SQLCompiler, **options: Any) -> str:
        """Return the FROM clause of PostgreSQL that gives the values, as `body_value.value` in JSON."""
        content = self.content(compiler, **options)
        if len(self.paths) == 1:
            return f"jsonb_path_query({content}, {_path(self.paths[0])}) AS body_value(value)"
        ways = (f"SELECT jsonb_path_query(whole.content, {_path(each)}) AS value" for each in self.paths)
        return f"(SELECT {content} AS content OFFSET 0) AS whole, LATERAL ({' UNION ALL '.join(ways)}) AS body_value"


def _path(written: str) -> str:
    """Return a path as a literal of PostgreSQL; `%` is doubled, for it begins the names of parameters."""
    return f"{_quoted(written).replace('%', '%%')}::jsonpath"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


class _Folded(ColumnElement[str]):
    """`storage.search.values.fold` in SQL, for PostgreSQL."""

    inherit_cache = True
    type = Identifier

    def __init__(self, text: ColumnElement[str]) -> None:
        self.text = text


def folded(text: ColumnElement[str]) -> ColumnElement[str]:
    """Return the expression that folds a text on PostgreSQL as `storage.search.values.fold` does."""
    return _Folded(text)


@compiles(_Folded, "postgresql")
def _fold_by_tables(element: _Folded, compiler: SQLCompiler, **options: Any) -> str:
    return _folded(compiler.process(element.text, **options), compiler)


class _BodyTest(_Body):
    """One of the values is one of those in a list parameter, or when folded begins with one."""

    inherit_cache = True
    type = Boolean()

    def __init__(self, body: ColumnElement[Any], source: BodySource, asked: str, *, folded: bool) -> None:
        super().__init__(body, source)
        self.asked: BindParameter[Any] = bindparam(asked, type_=Identifier)
        self.folded = folded

    def self_group(self, against: OperatorType | None = None) -> _BodyTest:  # noqa: ARG002 the base class's signature
        """Return the element itself: it is a truth value already."""
        return self


class _BodyExtreme(_Body):
    """The lowest or highest of the values."""

    inherit_cache = True
    type = Identifier

    def __init__(self, body: ColumnElement[Any], source: BodySource, *, descending: bool, exact: bool) -> None:
        super().__init__(body, source)
        self.descending = descending
        self.exact = exact


_VALUE: Final = "(body_value.value #>> '{}')"


@compiles(_BodyTest, "postgresql")
def _test_by_path(element: _BodyTest, compiler: SQLCompiler, **options: Any) -> str:
    compiler.process(element.asked, **options)  # registers the parameter
    asked = f"%({element.asked.key})s::text[]"
    if not element.folded:
        content = element.content(compiler, **options)
        wanted = f"jsonb_build_object('asked', to_jsonb({asked}))"
        ways = (_path(f"{each} ? (@ == $asked[*])") for each in element.paths)
        return f"({' OR '.join(f'jsonb_path_exists({content}, {way}, {wanted})' for way in ways)})"
    bare = f"LATERAL (SELECT {_folded(_VALUE, compiler)} AS text OFFSET 0) AS bare"
    values = element.values(compiler, **options)
    return (
        f"EXISTS (SELECT 1 FROM {values}, {bare}, unnest({asked}) AS beginning(text) "  # noqa: S608 compiled parts
        "WHERE starts_with(bare.text, beginning.text))"
    )


@compiles(_BodyTest, "sqlite")
def _test_by_function(element: _BodyTest, compiler: SQLCompiler, **options: Any) -> str:
    name = "fhir_body_starts" if element.folded else "fhir_body_is"
    return _call(name, compiler, element, element.asked, **options)


@compiles(_BodyExtreme, "postgresql")
def _extreme_by_path(element: _BodyExtreme, compiler: SQLCompiler, **options: Any) -> str:
    value = f'{_VALUE} COLLATE "C"'
    form = f"left({value if element.exact else f'lower({value})'}, {LONGEST_ORDER})"
    choose = "max" if element.descending else "min"
    return f"(SELECT {choose}({form}) FROM {element.values(compiler, **options)})"  # noqa: S608 compiled parts


@compiles(_BodyExtreme, "sqlite")
def _extreme_by_function(element: _BodyExtreme, compiler: SQLCompiler, **options: Any) -> str:
    name = f"fhir_body_{'highest' if element.descending else 'lowest'}{'_exact' if element.exact else ''}"
    return _call(name, compiler, element, **options)


def _call(function: str, compiler: SQLCompiler, element: _Body, *more: ClauseElement, **options: Any) -> str:
    source = element.source
    name = _quoted(body_name(source.resource_type, source.code, BodyPart(source.part)))
    body, *others = (compiler.process(each, **options) for each in (element.body, *more))
    return f"{function}({', '.join((body, name, *others))})"


# --- folding in SQL ---------------------------------------------------------------------------------------------------

_SURROGATES: Final = range(0xD800, 0xE000)


def _folded(text: str, compiler: SQLCompiler) -> str:
    """Return the SQL of `storage.search.values.fold`; the long way is taken for text beyond ASCII only.

    The tables are constants of the statement, sent along once however often they are named.
    """
    letters = _letters()
    sources = _constant("fold_letters", letters.sources + _marks(), compiler)
    targets = _constant("fold_targets", letters.targets, compiler)
    bare = f"translate(normalize(left({text}, {HARMLESS_TEXT}), NFKD), {sources}, {targets})"
    for one, several in letters.several:
        bare = f"replace({bare}, '{one}', '{several}')"
    bare = f"translate(normalize({bare}, NFKD), {_constant('fold_marks', _marks(), compiler)}, '')"
    spaces = _constant("fold_spaces", f"[{_spaces()}]+", compiler)
    plain = f'lower({text} COLLATE "C")'
    is_ascii = f"octet_length({text}) = length({text})"
    return f"CASE WHEN {is_ascii} THEN {_cut(plain, spaces)} ELSE rtrim({_cut(bare, spaces)}, ' ') END"


def _cut(text: str, spaces: str) -> str:
    return f"left(btrim(regexp_replace({text}, {spaces}, ' ', 'g'), ' '), {LONGEST_TEXT})"


def _constant(name: str, value: str, compiler: SQLCompiler) -> str:
    return compiler.process(bindparam(name, value, type_=Text()))


class _Letters:
    """What becomes of letters: one for one (marks have no counterpart and vanish), and the few that become several."""

    def __init__(self) -> None:
        sources: list[str] = []
        targets: list[str] = []
        self.several: list[tuple[str, str]] = []
        for number in range(sys.maxunicode + 1):
            letter = chr(number)
            if number in _SURROGATES or unicodedata.normalize("NFKD", letter) != letter:
                continue  # taken apart before it gets here
            becomes = folded_letter(letter)
            if becomes == letter or unicodedata.category(letter) == "Mn":
                continue
            if len(becomes) == 1:
                sources.append(letter)
                targets.append(becomes)
            else:
                self.several.append((letter, becomes))
        self.sources = "".join(sources)
        self.targets = "".join(targets)


@cache
def _letters() -> _Letters:
    return _Letters()


@cache
def _marks() -> str:
    """Return all letters of the category Mn, which do not count."""
    return "".join(chr(each) for each in range(sys.maxunicode + 1) if unicodedata.category(chr(each)) == "Mn")


@cache
def _spaces() -> str:
    """Return all letters that Python takes for space."""
    return "".join(chr(each) for each in range(1, sys.maxunicode + 1) if chr(each).isspace())

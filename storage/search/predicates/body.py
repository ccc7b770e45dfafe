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
from sqlalchemy.types import Boolean

from capability.search_parameters import SearchParameter
from storage.search.bodies import LONGEST_ORDER, BodyPart, body_name, body_paths
from storage.search.shape import Binder, BodyIs, BodySource, BodyStarts
from storage.search.values import LONGEST_TEXT, folded_letter
from storage.tables.metadata import Identifier


def bind_source(parameter: SearchParameter, part: BodyPart, binder: Binder) -> BodySource:
    """Return where a part of a parameter's values stands in bodies, for either engine."""
    resource_type, code = parameter.resource_type, parameter.code
    paths = [path.written for path in body_paths(resource_type, code, part)]
    return BodySource(binder.bind(body_name(resource_type, code, part)), binder.bind(paths))


def body_condition(test: BodyStarts | BodyIs, body: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return the condition on the column of the body."""
    name = test.beginning if isinstance(test, BodyStarts) else test.wanted
    return _BodyTest(body, test.source, name, folded=isinstance(test, BodyStarts))


def body_extreme(source: BodySource, body: ColumnElement[Any], *, descending: bool, exact: bool) -> ColumnElement[Any]:
    """Return the lowest value that a body holds, or the highest; null when there is none."""
    return _BodyExtreme(body, source, descending=descending, exact=exact)


class _Body(ColumnElement[Any]):
    """An expression over a body, whose parameters are given by name."""

    inherit_cache = True

    def __init__(self, body: ColumnElement[Any], source: BodySource) -> None:
        self.body = body
        self.name: BindParameter[Any] = bindparam(source.name, type_=Identifier)
        self.paths: BindParameter[Any] = bindparam(source.paths, type_=Identifier)

    @property
    def _from_objects(self) -> list[Any]:
        return list(self.body._from_objects)  # noqa: SLF001 what a statement has to read from

    def values(self, compiler: SQLCompiler, **options: Any) -> str:
        """Return the FROM clause of PostgreSQL that gives the values, as `body_value.value` in JSON."""
        body = compiler.process(self.body, **options)
        compiler.process(self.paths, **options)  # registers the parameter
        return (
            f"(SELECT convert_from({body}, 'UTF8')::jsonb AS content OFFSET 0) AS whole, "
            f"unnest(%({self.paths.key})s::text[]) AS way(path), "
            "jsonb_path_query(whole.content, way.path::jsonpath) AS body_value(value)"
        )


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
    return _folded(compiler.process(element.text, **options))


class _BodyTest(_Body):
    """One of the values is what a parameter says, or when folded begins with it."""

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
    asked = compiler.process(element.asked, **options)
    value = _VALUE
    test = f"starts_with({_folded(value)}, {asked})" if element.folded else f"{value} = {asked}"
    return f"EXISTS (SELECT 1 FROM {element.values(compiler, **options)} WHERE {test})"  # noqa: S608 compiled parts


@compiles(_BodyTest, "sqlite")
def _test_by_function(element: _BodyTest, compiler: SQLCompiler, **options: Any) -> str:
    name = "fhir_body_starts" if element.folded else "fhir_body_is"
    return _call(name, compiler, element.body, element.name, element.asked, **options)


@compiles(_BodyExtreme, "postgresql")
def _extreme_by_path(element: _BodyExtreme, compiler: SQLCompiler, **options: Any) -> str:
    value = f'{_VALUE} COLLATE "C"'
    form = f"left({value if element.exact else f'lower({value})'}, {LONGEST_ORDER})"
    choose = "max" if element.descending else "min"
    return f"(SELECT {choose}({form}) FROM {element.values(compiler, **options)})"  # noqa: S608 compiled parts


@compiles(_BodyExtreme, "sqlite")
def _extreme_by_function(element: _BodyExtreme, compiler: SQLCompiler, **options: Any) -> str:
    name = f"fhir_body_{'highest' if element.descending else 'lowest'}{'_exact' if element.exact else ''}"
    return _call(name, compiler, element.body, element.name, **options)


def _call(function: str, compiler: SQLCompiler, *arguments: ClauseElement, **options: Any) -> str:
    return f"{function}({', '.join(compiler.process(each, **options) for each in arguments)})"


# --- folding in SQL ---------------------------------------------------------------------------------------------------

_SURROGATES: Final = range(0xD800, 0xE000)


def _folded(text: str) -> str:
    """Return the SQL of `storage.search.values.fold`; the long way is taken for text beyond ASCII only."""
    plain = f'lower({text} COLLATE "C")'
    letters = _letters()
    bare = f"translate(normalize({text}, NFKD), {letters.sources}, {letters.targets})"
    for one, several in letters.several:
        bare = f"replace({bare}, {_quoted(one)}, {_quoted(several)})"
    bare = f"translate(normalize({bare}, NFKD), {_quoted(_marks())}, '')"
    is_ascii = f"octet_length({text}) = length({text})"
    return f"CASE WHEN {is_ascii} THEN {_cut(plain)} ELSE rtrim({_cut(bare)}, ' ') END"


def _cut(text: str) -> str:
    spaced = f"regexp_replace({text}, {_quoted(f'[{_spaces()}]+')}, ' ', 'g')"
    return f"left(btrim({spaced}, ' '), {LONGEST_TEXT})"


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
        self.sources = _quoted("".join(sources) + _marks())
        self.targets = _quoted("".join(targets))


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


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"

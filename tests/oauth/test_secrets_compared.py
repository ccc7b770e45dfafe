"""How secrets are made and compared (security KY-4), read off the code itself."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
ROOMS: Final = ("fhir_server", "storage")
SPEAKS_OF_SECRETS: Final = re.compile(
    r"secret|mac$|digest$|verifier|challenge|signature|password|hash$|nonce|otp$|token$", re.IGNORECASE
)
PUBLIC: Final = {
    "token == self.own_token": "both come from the one who asks",
    "self._left[0] == token": "a token of FHIRPath",
    "kind == SearchType.TOKEN": "a type of search parameters",
    "line.hash": "heads of the audit trail, which are kept where others read them",
    "last.seal_hash": "a seal that anybody with the trail reads",
}
"""Comparisons of things with such names that no clock tells anything of, and why."""
PREDICTABLE: Final = {
    "fhir_server/oauth/upkeep.py": "workers begin at different moments",
    "fhir_server/graph_client/retries.py": "clients wait for different times",
    "fhir_server/fhir/request.py": "ids of requests, which are no secret",
}
"""Modules that may draw from `random`, and what for."""


def comparisons() -> Iterator[str]:
    """Give the comparisons by `==` and `!=` of anything that is called like a secret.

    Columns (`table.c.name`) are a database's to compare: what is looked up there is a digest of a random value, or a
    hash that is about to be replaced.
    """
    for _, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.Compare) and any(isinstance(each, (ast.Eq, ast.NotEq)) for each in node.ops):
                sides = (node.left, *node.comparators)
                if not any(map(is_column, sides)) and any(SPEAKS_OF_SECRETS.search(name_of(side)) for side in sides):
                    yield ast.unparse(node)


def modules() -> Iterator[tuple[str, ast.Module]]:
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text())


def is_column(side: ast.expr) -> bool:
    return isinstance(side, ast.Attribute) and isinstance(side.value, ast.Attribute) and side.value.attr == "c"


def name_of(side: ast.expr) -> str:
    match side:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return ""


def test_security_KY4_secrets_are_compared_in_constant_time():
    found = list(comparisons())
    assert [each for each in found if not any(known in each for known in PUBLIC)] == []
    assert [known for known in PUBLIC if not any(known in each for each in found)] == []


def test_security_KY4_nothing_random_can_be_foretold():
    assert {path for path, tree in modules() if any(map(brings_random, ast.walk(tree)))} == set(PREDICTABLE)


def brings_random(node: ast.AST) -> bool:
    match node:
        case ast.Import(names=names):
            return any(each.name == "random" for each in names)
        case ast.ImportFrom(module=module):
            return module == "random"
        case _:
            return False

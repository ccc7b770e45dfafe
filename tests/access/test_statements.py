"""Every statement on stored resources has the access predicate, or says why not (security AZ-1).

Read from the code: a function that names a table of the FHIR store and makes a statement or a part of one either calls
the predicate itself, or is listed here with what stands in its place. Whoever adds one has to say which it is.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
TABLES = {"resources", "history", "compartments"}
INDEX = "index_"
STATEMENTS = {"select", "insert", "update", "delete", "prepare"}
PREDICATES = {"visible", "of_types", "of_kinds"}

PREDICATE = "it is the predicate"
PART = "a part of a statement whose rows another part of it restricts"
AFTER = "asked about versions that the caller was shown, or may see by what was asked before"
WRITE = "inside a unit of work, of rows whose change was admitted or is to be"
AUDIT = "ids of one person's records, by which auditors, who see the whole trail, look for what was done with them"
SERVER = "the server's own work, by which nobody is shown anything"

REASONS = {
    "storage/audit_people.py:_homes": AUDIT,
    "storage/drift/rows.py:_residuals": SERVER,
    "storage/history/instance.py:_bodies_statement": AFTER,
    "storage/history/record.py:_compile": PART,
    "storage/history/record.py:_unchanged": PART,
    "storage/history/record.py:_changed": PART,
    "storage/history/record.py:_replaced": PART,
    "storage/history/statements.py:compile_stream": PART,
    "storage/history/statements.py:compile_count": "only of types that are seen whole",
    "storage/history/statements.py:_along_types_sqlite": "only of types that are seen whole",
    "storage/history/statements.py:_columns": PART,
    "storage/history/statements.py:_replaced": PART,
    "storage/history/stream.py:_updated_statement": AFTER,
    "storage/projection/homes.py:_count_statement": SERVER,
    "storage/projection/homes.py:_native_statement": SERVER,
    "storage/projection/index_check.py:_page": SERVER,
    "storage/projection/index_rebuild.py:_remove_strays": SERVER,
    "storage/projection/index_rebuild.py:_next": SERVER,
    "storage/projection/index_rebuild.py:_locked": SERVER,
    "storage/projection/index_rebuild.py:_live": SERVER,
    "storage/projection/index_rebuild.py:_correct": SERVER,
    "storage/projection/lookups.py:_homes_statement": WRITE,
    "storage/projection/project.py:_homed_statement": WRITE,
    "storage/projection/shown.py:_renamed_statement": SERVER,
    "storage/provenance.py:_key_statement": "the store is asked for the resource before anything is told",
    "storage/provenance.py:_current_statement": AFTER,
    "storage/provenance.py:_superseded_statement": AFTER,
    "storage/search/agreement.py:agreed_patients": PREDICATE,
    "storage/search/agreement.py:agreed_condition": PREDICATE,
    "storage/search/compile.py:_page": "_seen has it, for each type as far as it reaches",
    "storage/search/conditions.py:rids_of": PART,
    "storage/search/own.py:of_row": PART,
    "storage/search/conditions.py:_referred_keys": PART,
    "storage/search/everything.py:shared_rids": PART,
    "storage/search/includes.py:_reached": PART,
    "storage/store.py:_vread_statement": AFTER,
    "storage/versions.py:_current_statement": WRITE,
    "storage/versions.py:_supersede_statement": WRITE,
    "storage/versions.py:_change_statement": WRITE,
    "storage/versions.py:store": WRITE,
    "storage/visibility.py:_in_compartment": PREDICATE,
}


def statements() -> Iterator[tuple[str, bool]]:
    """Yield every function that makes a statement on the store, and whether it calls the predicate."""
    for room in ("storage", "fhir_server"):
        for path in sorted((ROOT / room).rglob("*.py")):
            for function in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) and _names_tables(function):
                    called = _called(function)
                    if called & STATEMENTS:
                        yield f"{path.relative_to(ROOT).as_posix()}:{function.name}", bool(called & PREDICATES)


def _names_tables(function: ast.AST) -> bool:
    return any(
        isinstance(each, ast.Attribute)
        and isinstance(each.value, ast.Name)
        and each.value.id == "fhir"
        and (each.attr in TABLES or each.attr.startswith(INDEX))
        for each in ast.walk(function)
    )


def _called(function: ast.AST) -> set[str]:
    targets = (each.func for each in ast.walk(function) if isinstance(each, ast.Call))
    return {each.id if isinstance(each, ast.Name) else getattr(each, "attr", "") for each in targets}


def test_security_AZ1_every_statement_on_resources_has_the_predicate_or_a_reason():
    found = dict(statements())
    assert len(found) > len(REASONS)
    assert {name for name, guarded in found.items() if not guarded} == set(REASONS)


def test_security_AZ1_only_storage_names_the_tables_of_the_store():
    assert not [name for name, _ in statements() if not name.startswith("storage/")]

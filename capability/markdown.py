"""The tables of the documentation: what is served, written from the registry."""

from collections.abc import Iterable, Iterator

from capability.operations import ANY_TYPE, OPERATIONS
from capability.registry import READ_ONLY_TYPES, REGISTRY, SYSTEM_INTERACTIONS, TYPE_INTERACTIONS
from capability.search_parameters import COMMON, SearchParameter
from capability.us_core import VERSIONS


def capability_markdown() -> str:
    """Return interactions and the search parameters of every type as Markdown."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# What this server can do"
    yield ""
    yield f"Every R4 resource type has: {', '.join(TYPE_INTERACTIONS)}. The base has: {', '.join(SYSTEM_INTERACTIONS)}."
    yield f"Nobody writes {', '.join(sorted(READ_ONLY_TYPES))}."
    yield ""
    yield from _operations()
    yield ""
    yield from _profiles()
    yield ""
    yield "Parameters of every type:"
    yield ""
    yield from _table(REGISTRY["Patient"].search_parameters[code] for code in COMMON)
    for served in REGISTRY.values():
        own = [each for code, each in served.search_parameters.items() if code not in COMMON]
        if own:
            yield ""
            yield f"## {served.name}"
            yield ""
            yield from _table(own)


def _operations() -> Iterator[str]:
    yield "| operation | of | called at | what |"
    yield "| --- | --- | --- | --- |"
    for each in OPERATIONS.values():
        types = "all types" if ANY_TYPE in each.types else ", ".join(each.types)
        levels = ", ".join(sorted(level.value for level in each.levels))
        yield f"| `${each.name}` | {types} | {levels} | {each.title} |"


def _profiles() -> Iterator[str]:
    yield "Profiles that resources of this server follow (US Core " + " and ".join(VERSIONS) + ", vital signs of R4):"
    yield ""
    for served in REGISTRY.values():
        if served.profiles:
            names = ", ".join(f"`{url.rpartition('/')[2]}`" for url in served.profiles)
            yield f"- {served.name}: {names}"


def _table(parameters: Iterable[SearchParameter]) -> Iterator[str]:
    yield "| parameter | type | refers to | expression |"
    yield "| --- | --- | --- | --- |"
    for each in parameters:
        targets = "any" if "*" in each.targets else ", ".join(each.targets)
        expression = each.expression.replace("|", "\\|")
        yield f"| `{each.code}` | {each.type.value} | {targets} | `{expression}` |"

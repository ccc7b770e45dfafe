"""The tables of the documentation: what is served, written from the registry."""

from collections.abc import Iterable, Iterator

from capability.registry import REGISTRY, SYSTEM_INTERACTIONS, TYPE_INTERACTIONS
from capability.search_parameters import COMMON, SearchParameter


def capability_markdown() -> str:
    """Return interactions and the search parameters of every type as Markdown."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# What this server can do"
    yield ""
    yield f"Every R4 resource type has: {', '.join(TYPE_INTERACTIONS)}. The base has: {', '.join(SYSTEM_INTERACTIONS)}."
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


def _table(parameters: Iterable[SearchParameter]) -> Iterator[str]:
    yield "| parameter | type | refers to | expression |"
    yield "| --- | --- | --- | --- |"
    for each in parameters:
        targets = "any" if "*" in each.targets else ", ".join(each.targets)
        expression = each.expression.replace("|", "\\|")
        yield f"| `{each.code}` | {each.type.value} | {targets} | `{expression}` |"

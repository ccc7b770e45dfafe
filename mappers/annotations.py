"""Notes ⇄ Annotation (FHIR R4 datatypes.html#Annotation): a text column holds the words of all annotations."""

from __future__ import annotations

from typing import Any

from mappers import isos
from mappers.errors import Refusal
from mappers.fields import Context, Field, lens
from mappers.json_values import ABSENT, Json
from mappers.nodes import Node, Whole


def notes(column: str = "notes") -> Field:
    """Return the field of a notes column and the element `note`: all annotations, one after the other."""

    def show(values: tuple[Any, ...], _: Context) -> tuple[Node]:
        words = ABSENT if values[0] is None else isos.fhir_text(values[0])
        return (ABSENT if words is ABSENT else Whole([{"text": words}], values[0]),)

    def take(found: tuple[Json, ...], _: Context) -> tuple[str]:
        texts = [note.get("text") for note in found[0] if isinstance(note, dict)]
        said = [text for text in texts if isinstance(text, str)]
        if not said:
            raise Refusal("says nothing")
        return ("\n\n".join(said),)

    return lens((column,), ("note",), show, take, note="text of all annotations")

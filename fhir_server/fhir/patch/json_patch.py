"""JSON Patch (RFC 6902; FHIR R4 http.html#patch): the operations are a library's, the bounds are ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from jsonpatch import (
    InvalidJsonPatch,
    JsonPatch,
    JsonPatchException,
    JsonPatchTestFailed,
)
from jsonpointer import JsonPointer, JsonPointerException

from fhir_server.errors import BodyTooComplex, MalformedBody, PatchFailed

MAX_OPERATIONS: Final = 1_000
MAX_COPIED: Final = 16 * 2**20
"""Values and characters that all `copy` operations of a patch may add together."""
_TELLING: Final = frozenset({"add", "remove", "replace"})
"""Operations that do not depend on the values stored."""
_BAD_OPERATION: Final = "it is none of RFC 6902: op, path, and from or value, each as its operation takes it."
_BAD_POINTER: Final = "its path leads nowhere in the resource, or not to where this operation may act."
_TOO_DEEP: Final = "it nests the resource too deeply."
_TEST_FAILED: Final = "the value tested is not what is stored."


class JsonPatchDocument:
    """A JSON Patch as it was sent; numbers are int and Decimal, so that digits survive and `test` compares values."""

    def __init__(self, document: Any) -> None:
        """Take the parsed document; raises MalformedBody when it is no list of objects, BodyTooComplex, PatchFailed."""
        if not isinstance(document, list) or not all(isinstance(each, dict) for each in document):
            raise MalformedBody("A JSON Patch is an array of operations, each an object.")
        if len(document) > MAX_OPERATIONS:
            raise BodyTooComplex("operations", MAX_OPERATIONS)
        self._operations = [_operation(each, place) for place, each in enumerate(document)]

    @property
    def size(self) -> int:
        """How many operations it has."""
        return len(self._operations)

    @property
    def asks(self) -> bool:
        """Whether it compares what is stored, or puts it elsewhere, where rules of the element compare it."""
        return any(operation["op"] not in _TELLING for patch in self._operations for operation in patch)

    def apply(self, resource: dict[str, Any]) -> Any:
        """Return what the operations make of a resource, which may be changed on the way.

        Raises PatchFailed, and BodyTooComplex when copies of copies grow beyond all measure.
        """
        result: Any = resource
        left = MAX_COPIED
        for place, operation in enumerate(self._operations):
            try:
                left -= _weight_of_copy(operation, result)
                if left < 0:
                    raise BodyTooComplex("values and characters copied", MAX_COPIED)
                result = operation.apply(result, in_place=True)
            except JsonPatchTestFailed:
                raise PatchFailed(_TEST_FAILED, place) from None
            except InvalidJsonPatch:
                raise PatchFailed(_BAD_OPERATION, place) from None
            except (JsonPatchException, JsonPointerException, TypeError):
                raise PatchFailed(_BAD_POINTER, place) from None
            except RecursionError:
                raise PatchFailed(_TOO_DEEP, place) from None
        return result


def _operation(document: Mapping[str, Any], place: int) -> JsonPatch:
    """Return a patch of one operation, so that a failure has its place."""
    try:
        return JsonPatch([document])
    except (InvalidJsonPatch, TypeError):
        raise PatchFailed(_BAD_OPERATION, place) from None
    except JsonPointerException:
        raise PatchFailed(_BAD_POINTER, place) from None


def _weight_of_copy(patch: JsonPatch, document: Any) -> int:
    """Return how many values and characters a `copy` adds; 0 for other operations, which add what was sent."""
    (operation,) = patch
    if operation["op"] != "copy":
        return 0
    source = operation.get("from")
    if not isinstance(source, str):
        raise InvalidJsonPatch("from")
    return sum(1 + len(each) if isinstance(each, str) else 1 for each in _values(JsonPointer(source).resolve(document)))


def _values(value: Any) -> Iterator[Any]:
    """Yield a value and all within it; without recursion, as copies may nest deeply."""
    left = [value]
    while left:
        each = left.pop()
        yield each
        if isinstance(each, dict):
            yield from each
            left.extend(each.values())
        elif isinstance(each, list):
            left.extend(each)

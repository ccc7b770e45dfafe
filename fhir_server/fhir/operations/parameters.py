"""What an operation is called with: a Parameters resource, the query, or both (FHIR R4 operations.html#request).

A parameter is a value of one data type, a resource, or a list of parts. Faults of shape and type are 400 with the place
in FHIRPath; which names an operation knows is its own matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, NoReturn

from capability.elements import RESOURCE_TYPES, element
from fhir_server.errors import InvalidParameter, InvalidResource, Issue, TypeMismatch
from fhir_server.fhir.negotiation import Pairs
from fhir_server.fhir.request import FhirRequest

Json = Any

_VALUE: Final = element("Parameters.parameter", "value")
_DATATYPES: Final[Mapping[str, str]] = {
    f"value{name[0].upper()}{name[1:]}": name for name in (_VALUE.datatypes if _VALUE else ())
}
"""`valueDateTime` → `dateTime`: every data type that a parameter may have."""
_OTHERS: Final = frozenset({"id", "extension", "modifierExtension", "name", "resource", "part"})
_OF_RESOURCE: Final = frozenset({"resourceType", "id", "meta", "implicitRules", "language", "parameter"})
_WHOLE: Final = frozenset({"integer", "positiveInt", "unsignedInt"})
_LARGEST: Final = 2**31 - 1
FROM_QUERY: Final = ""
"""In place of the data type of what stood in the query: a text that is still to be read."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter or part.

    `datatype` is that of `value`, FROM_QUERY for a text of the query; without a value it is None. `expression` is where
    it stands (`Parameters.parameter[0].valueCode`), the name of the parameter for one of the query.
    """

    name: str
    expression: str
    datatype: str | None = None
    value: Json = None
    resource: Mapping[str, Any] | None = None
    parts: tuple[Parameter, ...] = ()

    @property
    def text(self) -> str:
        """The value as a search parameter would spell it; raises InvalidResource for what is no plain value."""
        value = self.value.get("reference") if self.datatype == "Reference" else self.value
        if isinstance(value, bool):
            return "true" if value else "false"
        if not isinstance(value, str | int | Decimal):
            self.refuse("give one plain value, such as valueString")
        return str(value)

    def part(self, name: str) -> Parameter | None:
        """Return the part of this name; raises InvalidResource when there are several."""
        return _only([each for each in self.parts if each.name == name])

    def refuse(self, remedy: str, code: str = "value") -> NoReturn:
        """Raise the error for a parameter that cannot be used: InvalidParameter for one of the query."""
        if self.datatype == FROM_QUERY:
            raise InvalidParameter(self.name, remedy)
        raise InvalidResource([Issue(code, f"{remedy[0].upper()}{remedy[1:]}.", self.expression)])


class Parameters:
    """The parameters of one call, in the order they were given."""

    def __init__(self, given: Iterable[Parameter] = ()) -> None:
        self.given: Final = tuple(given)

    @property
    def names(self) -> frozenset[str]:
        """Every name that was given."""
        return frozenset(each.name for each in self.given)

    def all(self, name: str) -> list[Parameter]:
        """Return every parameter of a name."""
        return [each for each in self.given if each.name == name]

    def one(self, name: str) -> Parameter | None:
        """Return the parameter of a name, None where there is none; raises InvalidResource when there are several."""
        return _only(self.all(name))

    def text(self, name: str) -> str | None:
        """Return a plain value as text; raises InvalidResource and InvalidParameter, as the others do."""
        found = self.one(name)
        return None if found is None else found.text

    def whole_number(self, name: str) -> int | None:
        """Return a whole number, 0 or more."""
        found = self.one(name)
        if found is None:
            return None
        value = found.value
        if found.datatype == FROM_QUERY and value.isascii() and value.isdigit() and len(value) <= 10:
            value = int(value)
        elif found.datatype not in _WHOLE:
            found.refuse("give a whole number, 0 or more")
        if not (type(value) is int and 0 <= value <= _LARGEST):
            found.refuse("give a whole number, 0 or more")
        return int(value)

    def value(self, name: str, *datatypes: str) -> Json:
        """Return a value of one of some data types, None where there is none."""
        found = self.one(name)
        if found is None:
            return None
        if found.datatype not in datatypes:
            found.refuse(f"give a value of type {' or '.join(datatypes)}")
        return found.value

    def resource(self, name: str) -> Mapping[str, Any] | None:
        """Return a resource, as it came: nobody has validated it."""
        found = self.one(name)
        if found is not None and found.resource is None:
            found.refuse("give a resource", "structure")
        return found.resource if found else None


async def operation_parameters(request: FhirRequest, limit: int) -> Parameters:
    """Return what an operation is called with: its query, and by POST also its body of at most `limit` bytes.

    A POST without a body has no parameters but those of its query. Raises InvalidParameter, UnsupportedMediaType,
    BodyTooLarge, and for a body that is no Parameters resource MalformedBody, TypeMismatch or InvalidResource.
    """
    queried = queried_parameters(request)
    if request.origin.method != "POST" or has_no_body(request):
        return queried
    return Parameters([*queried.given, *parse_parameters((await request.json(limit)).value).given])


def queried_parameters(request: FhirRequest) -> Parameters:
    """Return what the query of a call says."""
    return Parameters(Parameter(name, name, FROM_QUERY, value) for name, value in request.pairs)


def parse_parameters(body: Json) -> Parameters:
    """Return the parameters of a Parameters resource.

    Raises TypeMismatch for another resource, InvalidResource with every fault of shape and type.
    """
    if not isinstance(body, dict) or body.get("resourceType") != "Parameters":
        raise TypeMismatch("Parameters", "resourceType")
    unknown = body.keys() - _OF_RESOURCE
    faults = [Issue("structure", "Parameters has no other element than parameter.", "Parameters")] if unknown else []
    found = _list(body.get("parameter", []), "Parameters.parameter", faults)
    if faults:
        raise InvalidResource(faults)
    return Parameters(found)


def search_pairs(given: Parameters, without: Iterable[str] = ()) -> Pairs:
    """Return the parameters that a search shall have, spelt as in a query; raises InvalidResource."""
    apart = frozenset(without)
    return tuple((each.name, each.text) for each in given.given if each.name not in apart)


def has_no_body(request: FhirRequest) -> bool:
    """Say whether a call by POST came without a body."""
    if request.entry is not None:
        return request.given is None
    return request.headers.get("content-length", "0") == "0" and "transfer-encoding" not in request.headers


def _only(found: Sequence[Parameter]) -> Parameter | None:
    if len(found) > 1:
        found[1].refuse("give this once", "structure")
    return found[0] if found else None


def _list(items: Json, path: str, faults: list[Issue]) -> list[Parameter]:
    if not isinstance(items, list):
        faults.append(Issue("structure", "This is a list.", path))
        return []
    read = (_parameter(item, f"{path}[{at}]", faults) for at, item in enumerate(items))
    return [each for each in read if each is not None]


def _parameter(item: Json, path: str, faults: list[Issue]) -> Parameter | None:
    """Return one parameter; faults are noted, and None stands for what cannot be read."""
    if not isinstance(item, dict):
        faults.append(Issue("structure", "A parameter is an object with a name.", path))
        return None
    name: Any = item.get("name")
    values = [key for key in item if key in _DATATYPES]
    fault = _fault(item, name, len(values) + ("resource" in item) + ("part" in item), path)
    if fault is not None:
        faults.append(fault)
        return None
    if values:
        return _valued(name, values[0], item[values[0]], path, faults)
    if "resource" in item:
        return _resource(name, item["resource"], path, faults)
    parts = _list(item["part"], f"{path}.part", faults) if "part" in item else []
    return Parameter(name, path, parts=tuple(parts))


def _fault(item: Mapping[str, Any], name: Json, contents: int, path: str) -> Issue | None:
    """Return what is wrong with the shape of a parameter that holds as many values, resources and lists of parts."""
    if not isinstance(name, str) or not name:
        return Issue("required", "A parameter has a name.", f"{path}.name")
    if any(key not in _DATATYPES and key not in _OTHERS and key[:1] != "_" for key in item):
        return Issue("structure", "A parameter has a name and a value[x], a resource or parts.", path)
    if contents > 1:
        return Issue("structure", "A parameter has one of value[x], resource and part.", path)
    return None


def _valued(name: str, key: str, value: Json, path: str, faults: list[Issue]) -> Parameter | None:
    datatype = _DATATYPES[key]
    if not _is_of(datatype, value):
        faults.append(Issue("structure", f"This is not the JSON of a value of type {datatype}.", f"{path}.{key}"))
        return None
    return Parameter(name, f"{path}.{key}", datatype, value)


def _resource(name: str, value: Json, path: str, faults: list[Issue]) -> Parameter | None:
    if not isinstance(value, dict) or value.get("resourceType") not in RESOURCE_TYPES:
        faults.append(Issue("structure", "This is no resource of a type of R4.", f"{path}.resource"))
        return None
    return Parameter(name, f"{path}.resource", resource=value)


def _is_of(datatype: str, value: Json) -> bool:
    if datatype[:1].isupper():
        return isinstance(value, dict)
    if datatype == "boolean":
        return isinstance(value, bool)
    if datatype in _WHOLE:
        return type(value) is int
    if datatype == "decimal":
        return type(value) is int or isinstance(value, Decimal)
    return isinstance(value, str) and value != ""

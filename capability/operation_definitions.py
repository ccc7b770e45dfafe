"""OPERATIONS → OperationDefinition (FHIR R4 operationdefinition.html): what `/metadata` refers to can be read."""

from typing import Any

from capability.operations import ANY_TYPE, OPERATIONS, Level, Operation, OperationParameter

Json = dict[str, Any]


def operation_definitions(base_url: str, date: str) -> dict[str, Json]:
    """Return the definitions of all operations by id; `date` is when they last changed, as FHIR writes it."""
    return {each.definition_id: operation_definition(each, base_url, date) for each in OPERATIONS.values()}


def operation_definition(operation: Operation, base_url: str, date: str) -> Json:
    """Return one definition: its parameters are those that this server reads."""
    return {
        "resourceType": "OperationDefinition",
        "id": operation.definition_id,
        "url": operation.canonical(base_url),
        "name": operation.name.replace("-", " ").title().replace(" ", ""),
        "title": operation.title or operation.name,
        "status": "active",
        "kind": "operation",
        "date": date,
        "description": operation.text or operation.title or operation.name,
        "affectsState": operation.affects_state,
        "code": operation.name,
        "resource": ["Resource"] if ANY_TYPE in operation.types else list(operation.types),
        "system": Level.SYSTEM in operation.levels,
        "type": Level.TYPE in operation.levels,
        "instance": Level.INSTANCE in operation.levels,
        **({"parameter": [_parameter(each) for each in operation.parameters]} if operation.parameters else {}),
    }


def _parameter(parameter: OperationParameter) -> Json:
    """Return one parameter; a search parameter is a string that says of which kind (invariant opd-2)."""
    return {
        "name": parameter.name,
        "use": parameter.use,
        "min": parameter.minimum,
        "max": parameter.maximum,
        "documentation": parameter.text,
        **({"type": parameter.type} if parameter.type else {}),
        **({"searchType": parameter.search_type} if parameter.search_type else {}),
    }

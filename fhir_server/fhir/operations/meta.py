"""$meta, $meta-add, $meta-delete (FHIR R4 resource-operation-meta.html, -meta-add, -meta-delete; fhir_rest §13)."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import compress
from typing import Any

from fhir_server.errors import InvalidResource, Issue
from fhir_server.fhir.conditions import expected_version
from fhir_server.fhir.interactions.read import read
from fhir_server.fhir.json_body import encode_json
from fhir_server.fhir.operations.parameters import operation_parameters
from fhir_server.fhir.request import FhirRequest
from fhir_server.fhir.response import Response, Touched, touched_by, version_headers
from fhir_server.fhir.service import Service
from fhir_server.fhir.trail import change_of, record_of
from fhir_server.validation.validate import validate_resource
from storage.access import Right
from storage.codec import decode
from storage.labels import KINDS, change_labels, identity, labels_in_use
from storage.resources import Version
from storage.transaction import UnitOfWork

Meta = Mapping[str, Any]


async def meta(request: FhirRequest, service: Service) -> Response:
    """Answer with the meta of a resource, or with the labels in use in a type or in all of them."""
    await operation_parameters(request, service.settings.max_body_bytes)
    if request.route.id:
        found = await read(request, service)
        if found.version is not None and found.status == 200:
            found.body = _return(decode(found.version.body).get("meta", {}))
        return found
    reader, resource_type = service.store.database, request.route.resource_type
    labels = await labels_in_use(reader, resource_type, request.access)
    return Response(200, _return(labels.meta()), touched=Touched(resource_type, count=labels.resources))


async def meta_add(request: FhirRequest, service: Service) -> Response:
    """Add labels to a resource: those that it has already stay as they are."""
    return await _changed(request, service, added)


async def meta_delete(request: FhirRequest, service: Service) -> Response:
    """Take labels from a resource; those that it does not have are no error."""
    return await _changed(request, service, without)


async def _changed(request: FhirRequest, service: Service, change: Any) -> Response:
    access, key = request.access, request.route.key
    updating = access.require(key.resource_type, Right.UPDATE)
    reading = access.require(key.resource_type, Right.READ)  # the answer shows all labels
    body = await request.json(service.settings.max_body_bytes)
    validate_resource(body.value, body.data or None, expected_type="Parameters")
    given = (await operation_parameters(request, service.settings.max_body_bytes)).value("meta", "Meta")
    if given is None:
        raise InvalidResource([Issue("required", "Give the labels in a parameter meta.", "Parameters.parameter")])
    labels: Meta = given
    expected = expected_version(request.headers.get("if-match"))

    async def work(unit: UnitOfWork) -> Version:
        if not updating <= reading:
            await service.within(unit).store.read(key, access)
        version = await change_labels(unit, key, lambda before: change(before, labels), access, expected)
        touched = touched_by(key.resource_type, (version,))
        await service.audit.insert(unit, [record_of(access, request.route, request.origin, touched, 200)])
        return version

    version = await service.database.transact(access.organization_id, change_of(request), work)
    return Response(200, _return(decode(version.body)["meta"]), version_headers(version), version)


def added(before: Meta, labels: Meta) -> Meta:
    """Return `before` with the labels that it lacks; what is the same by system and code, or by URL, is not doubled."""
    found = dict(before)
    for name in KINDS:
        known = {_identity(each) for each in before.get(name, ())}
        new = {_identity(each): each for each in labels.get(name, ()) if _identity(each) not in known}
        if new:
            found[name] = [*before.get(name, ()), *new.values()]
            if beside := before.get(f"_{name}"):
                found[f"_{name}"] = [*beside, *(None for _ in new)]
    return found


def without(before: Meta, labels: Meta) -> Meta:
    """Return `before` without the labels."""
    found = dict(before)
    for name in KINDS:
        gone = {_identity(each) for each in labels.get(name, ())}
        stays = [_identity(each) not in gone for each in before.get(name, ())]
        if all(stays):
            continue
        for each in (name, f"_{name}"):
            found[each] = list(compress(before.get(each, ()), stays))
            if not any(found[each]):
                del found[each]
    return found


def _identity(label: Any) -> Any:
    return identity(label) if isinstance(label, dict) else label


def _return(found: Meta) -> bytes:
    return encode_json({"resourceType": "Parameters", "parameter": [{"name": "return", "valueMeta": dict(found)}]})

"""/metadata is true: everything it claims is done over HTTP, and what it does not claim is refused (us_core.md C11)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any
from urllib.parse import quote

import pytest

from capability.search_parameters import SearchParameter, SearchType, find
from capability.validation_tables import BINDINGS
from fhir_server.fhir.provenance.find import STORED_ONLY, UNSORTED
from storage.projection.paths import compile_paths
from tests.conformance.minimal import minimal
from tests.site import issues

JSON_PATCH = {"Content-Type": "application/json-patch+json"}
TYPE_LEVEL = {
    "read", "vread", "update", "patch", "delete", "history-instance", "history-type", "create", "search-type",
}  # fmt: skip
SYSTEM_LEVEL = {"transaction", "batch", "search-system", "history-system"}
SAID_OF_PROVENANCE = {STORED_ONLY, UNSORTED}
"""What Provenance of versions is not found by is told with every such search; the parameter itself is used."""
ENTRIES = 250
"""Requests in one batch."""


@pytest.fixture(scope="module")
def rest(fhir) -> dict[str, Any]:
    return fhir.get("/metadata").json()["rest"][0]


@pytest.fixture(scope="module")
def types(rest) -> dict[str, dict[str, Any]]:
    return {each["type"]: each for each in rest["resource"]}


@pytest.fixture(scope="module")
def stored(fhir, types) -> dict[str, str]:
    """One resource of each type that can be created, by id."""
    names = claiming(types, "create")
    answers = batch(fhir, ({"method": "POST", "url": name} for name in names), [minimal(name) for name in names])
    failed = {name: answer for name, answer in zip(names, answers, strict=True) if status(answer) != 201}
    assert not failed
    places = [answer["response"]["location"].split("/") for answer in answers]
    return {place[0]: place[1] for place in places}


def batch(fhir, requests: Iterable[dict[str, str]], resources: Iterable[Any] = ()) -> list[dict[str, Any]]:
    """Send requests as entries of batches; return the entries of the answers in their order."""
    entries = [{"request": request} for request in requests]
    for entry, resource in zip(entries, resources, strict=False):
        entry["resource"] = resource
    answers: list[dict[str, Any]] = []
    for part in batched(entries, ENTRIES):
        answer = fhir.post("", json={"resourceType": "Bundle", "type": "batch", "entry": part})
        assert answer.status_code == 200, answer.text[:500]
        answers += answer.json()["entry"]
    assert len(answers) == len(entries)
    return answers


def batched(values: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Yield lists of at most `size` values."""
    left = iter(values)
    while part := list(islice(left, size)):
        yield part


def status(answer: dict[str, Any]) -> int:
    return int(answer["response"]["status"].split()[0])


def gets(fhir, urls: Iterable[str]) -> dict[str, dict[str, Any]]:
    asked = list(urls)
    return dict(zip(asked, batch(fhir, ({"method": "GET", "url": url} for url in asked)), strict=True))


def refused(answers: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the searches that were not answered in full: refused, or with a warning."""
    return {url: told for url, answer in answers.items() if (told := _told(answer)) is not None}


def _told(answer: dict[str, Any]) -> Any:
    if status(answer) != 200:
        return answer["response"]
    entries = answer["resource"].get("entry", ())
    found = [issue for e in entries if e["search"]["mode"] == "outcome" for issue in e["resource"]["issue"]]
    return [issue for issue in found if issue["diagnostics"] not in SAID_OF_PROVENANCE] or None


# --- values -----------------------------------------------------------------------------------------------------------

PLAIN = {
    SearchType.STRING: "x",
    SearchType.DATE: "ge2020-01-01",
    SearchType.NUMBER: "1",
    SearchType.QUANTITY: "5.4|http://unitsofmeasure.org|mg",
    SearchType.URI: "http://example.org/uri",
}


def plausible(parameter: SearchParameter) -> str:
    """Return a value of the form that the parameter's kind has."""
    if parameter.type is SearchType.COMPOSITE:
        parts = [find(parameter.resource_type, component.code) for component in parameter.components]
        return "$".join(plausible(part) for part in parts if part is not None)
    if parameter.type is SearchType.REFERENCE:
        target = "Patient" if "*" in parameter.targets or not parameter.targets else parameter.targets[0]
        return f"{target}/example"
    if parameter.type is SearchType.TOKEN:
        paths = compile_paths(parameter.resource_type, parameter.expression)
        if any(path.datatype == "boolean" for path in paths):
            return "true"
        bindings = [BINDINGS[path.element] for path in paths if path.element in BINDINGS]
        return min((code for each in bindings for codes in each.codes.values() for code in codes), default="x")
    return PLAIN[parameter.type]


def search_urls(rest, types) -> Iterator[str]:
    for name, resource in types.items():
        for claimed in [*rest["searchParam"], *resource.get("searchParam", ())]:
            parameter = find(name, claimed["name"])
            assert parameter is not None, f"{name}.{claimed['name']}"
            yield f"{name}?{claimed['name']}={quote(plausible(parameter))}&_count=1"


# --- searches ---------------------------------------------------------------------------------------------------------


def test_uscore_C11_every_claimed_parameter_is_used(fhir, rest, types, stored):
    answers = gets(fhir, search_urls(rest, types))
    assert len(answers) > 1_500
    assert refused(answers) == {}


def test_uscore_C11_every_claimed_parameter_has_missing(fhir, rest, types, stored):
    urls = [
        f"{name}?{each['name']}:missing=true&_count=0"
        for name, resource in types.items()
        for each in resource.get("searchParam", ())
    ]
    assert refused(gets(fhir, urls)) == {}


def test_uscore_C11_every_claimed_include_is_followed(fhir, types, stored):
    urls = [
        f"{name}?_id={stored.get(name, 'x')}&_include={include}"
        for name, resource in types.items()
        for include in resource.get("searchInclude", ())
    ]
    assert len(urls) > 300
    assert refused(gets(fhir, urls)) == {}


def test_uscore_C11_every_claimed_revinclude_is_followed(fhir, types, stored):
    urls = [
        f"{name}?_id={stored.get(name, 'x')}&" + "&".join(f"_revinclude={each}" for each in some)
        for name, resource in types.items()
        for some in batched(resource["searchRevInclude"], 15)
    ]
    assert refused(gets(fhir, urls)) == {}


def test_uscore_C10_every_claimed_combination_is_answered(fhir, types, stored):
    urls = []
    for name, resource in types.items():
        for extension in resource.get("extension", ()):
            codes = [each["valueString"] for each in extension["extension"] if each["url"] == "required"]
            urls.append(f"{name}?" + "&".join(f"{code}={quote(plausible(find(name, code)))}" for code in codes))
    assert len(urls) > 40
    assert refused(gets(fhir, urls)) == {}


def test_uscore_C11_parameters_that_are_not_claimed_are_not_used(fhir, types, stored):
    told = refused(gets(fhir, (f"{name}?no-such-parameter=1" for name in types)))
    assert list(told) == [f"{name}?no-such-parameter=1" for name in types]


# --- interactions with one type ---------------------------------------------------------------------------------------


def claiming(types, code: str) -> list[str]:
    return [name for name, resource in types.items() if code in {each["code"] for each in resource["interaction"]}]


@pytest.mark.parametrize(
    ("code", "template"),
    [
        ("read", "{name}/{id}"),
        ("vread", "{name}/{id}/_history/1"),
        ("history-instance", "{name}/{id}/_history"),
        ("history-type", "{name}/_history?_count=1"),
        ("search-type", "{name}?_id={id}"),
    ],
)
def test_uscore_C11_claimed_reading_interactions_are_served(fhir, types, stored, code, template):
    names = [name for name in claiming(types, code) if name in stored]
    assert len(names) > 140
    answers = gets(fhir, (template.format(name=name, id=stored[name]) for name in names))
    assert {url: answer["response"] for url, answer in answers.items() if status(answer) != 200} == {}
    if code not in {"read", "vread"}:
        assert [url for url, answer in answers.items() if not answer["resource"].get("entry")] == []


def test_uscore_C11_claimed_writing_interactions_are_served(fhir, types):
    """create, update (also as create), patch, conditional ones and delete, one after the other, on each type."""
    for name in claiming(types, "create"):
        resource, codes = types[name], {each["code"] for each in types[name]["interaction"]}
        place = f"/{name}/walk"
        body = minimal(name, id="walk", language="en")
        made = fhir.put(place, json=body)
        assert made.status_code == (201 if resource["updateCreate"] else 404), (name, made.text)
        if "update" in codes:
            assert fhir.put(place, json=body | {"language": "de"}).status_code == 200, name
        if "patch" in codes:
            operations = [{"op": "replace", "path": "/language", "value": "fr"}]
            patched = fhir.patch(place, json=operations, headers=JSON_PATCH)
            assert (patched.status_code, patched.json().get("language")) == (200, "fr"), (name, patched.text)
        tag = fhir.get(place).headers["etag"]
        if resource["conditionalRead"] == "full-support":
            assert fhir.get(place, headers={"If-None-Match": tag}).status_code == 304, name
        if resource["conditionalUpdate"]:
            assert fhir.put(f"/{name}?_id=walk", json=body | {"language": "es"}).status_code == 200, name
        if resource["conditionalDelete"] == "not-supported":
            assert fhir.delete(f"/{name}?_id=walk").status_code == 405, name
        else:
            assert fhir.delete(f"/{name}?_id=walk").status_code == 204, name
            assert fhir.get(place).status_code == 410, name
        if "delete" in codes:
            assert fhir.delete(place).status_code == 204, name
            assert fhir.get(place).status_code == 410, name


def test_uscore_C11_conditional_create_is_served_where_claimed(fhir, types, stored):
    names = [name for name, resource in types.items() if resource["conditionalCreate"]]
    requests = [{"method": "POST", "url": name, "ifNoneExist": f"_id={stored[name]}"} for name in names]
    answers = batch(fhir, requests, [minimal(name) for name in names])
    assert {name: status(answer) for name, answer in zip(names, answers, strict=True) if status(answer) != 200} == {}


def test_uscore_C11_patch_formats_are_taken(fhir, types):
    told = fhir.get("/metadata").json().get("patchFormat", [])
    made = fhir.post("/Patient", json=minimal("Patient")).json()["id"]
    fhirpath = {
        "resourceType": "Parameters",
        "parameter": [
            {
                "name": "operation",
                "part": [
                    {"name": "type", "valueCode": "add"},
                    {"name": "path", "valueString": "Patient"},
                    {"name": "name", "valueString": "active"},
                    {"name": "value", "valueBoolean": True},
                ],
            }
        ],
    }
    bodies: dict[str, Any] = {"application/fhir+json": fhirpath}
    bodies["application/json-patch+json"] = [{"op": "replace", "path": "/active", "value": False}]
    for kind, body in bodies.items():
        answer = fhir.patch(f"/Patient/{made}", json=body, headers={"Content-Type": kind})
        assert answer.status_code == (200 if kind in told else 405), answer.text
    other = fhir.patch(f"/Patient/{made}", content=b"<x/>", headers={"Content-Type": "application/xml-patch+xml"})
    assert other.status_code == (415 if told else 405)


UNCLAIMED = {
    "read": ("GET", "/{name}/x"),
    "vread": ("GET", "/{name}/x/_history/1"),
    "update": ("PUT", "/{name}/x"),
    "patch": ("PATCH", "/{name}/x"),
    "delete": ("DELETE", "/{name}/x"),
    "history-instance": ("GET", "/{name}/x/_history"),
    "history-type": ("GET", "/{name}/_history"),
    "create": ("POST", "/{name}"),
    "search-type": ("GET", "/{name}"),
    "search-system": ("GET", "/?_type=Patient"),
    "history-system": ("GET", "/_history"),
}


def test_uscore_C11_interactions_that_are_not_claimed_are_refused(fhir, rest, types):
    system = {each["code"] for each in rest["interaction"]}
    for name, resource in types.items():
        claimed = {each["code"] for each in resource["interaction"]} | system
        for code in (TYPE_LEVEL | SYSTEM_LEVEL) - claimed:
            method, path = UNCLAIMED[code]
            body = minimal(name, id="x") if method in {"POST", "PUT"} else [] if method == "PATCH" else None
            kind = JSON_PATCH if method == "PATCH" else {}
            answer = fhir.request(method, path.format(name=name), json=body, headers=kind)
            wanted = {(404, "not-supported"), (405, "not-supported")}
            if name == "AuditEvent":
                wanted.add((403, "forbidden"))
            assert (answer.status_code, issues(answer)[0]["code"]) in wanted, (code, name)


def test_uscore_C11_types_that_are_not_claimed_are_refused(fhir, types):
    for name in ("Nothing", "patient", "DomainResource", "Element", "SubscriptionTopic"):
        assert name not in types
        answer = fhir.get(f"/{name}")
        assert (answer.status_code, issues(answer)[0]["code"]) == (404, "not-supported")


# --- the base ---------------------------------------------------------------------------------------------------------


def test_uscore_C12_claimed_interactions_of_the_base_are_served(fhir, rest, stored):
    claimed = {each["code"] for each in rest["interaction"]}
    entry = [{"request": {"method": "GET", "url": "Patient?_count=1"}}]
    for code in claimed & {"batch", "transaction"}:
        answer = fhir.post("", json={"resourceType": "Bundle", "type": code, "entry": entry})
        assert (answer.status_code, answer.json()["type"]) == (200, f"{code}-response")
    if "history-system" in claimed:
        assert fhir.get("/_history?_count=2").json()["type"] == "history"
    if "search-system" in claimed:
        found = fhir.get("/?_type=Patient,Organization&_count=10").json()
        assert {each["resource"]["resourceType"] for each in found["entry"]} == {"Patient", "Organization"}
        assert fhir.post("/_search", data={"_type": "Patient"}, headers=FORM).json()["type"] == "searchset"


def test_uscore_C12_claimed_compartments_are_served(fhir, rest, types, stored):
    for canonical in rest.get("compartment", ()):
        code = canonical.rpartition("/")[2]
        name = next(each for each in types if each.lower() == code.lower())
        answer = fhir.get(f"/{name}/{stored[name]}/*?_count=1")
        assert (answer.status_code, answer.json()["type"]) == (200, "searchset")


FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def parameters(**values: Any) -> dict[str, Any]:
    return {"resourceType": "Parameters", "parameter": [{"name": name, **value} for name, value in values.items()]}


def test_uscore_C12_claimed_operations_are_served(fhir, rest, types, stored):
    """Each is called as its definition says: on every level, by POST, and by GET where it changes nothing."""
    called = set()
    for name, claimed in [("", rest), *types.items()]:
        for operation in claimed.get("operation", ()):
            found = fhir.get("/OperationDefinition", params={"url": operation["definition"]}).json()["entry"]
            definition = found[0]["resource"]
            assert definition["code"] == operation["name"]
            of_type = name or "Patient"
            levels = {
                "system": f"/${operation['name']}",
                "type": f"/{of_type}/${operation['name']}",
                "instance": f"/{of_type}/{stored[of_type]}/${operation['name']}",
            }
            for level, path in levels.items():
                answer = fhir.post(path, json=arguments(operation["name"], of_type, stored))
                wanted = {200} if definition[level] else {404, 405}
                assert answer.status_code in wanted, (operation["name"], level, answer.text)
            called.add(operation["name"])
    assert {"everything", "lastn"} <= called


def arguments(operation: str, resource_type: str, stored: dict[str, str]) -> dict[str, Any]:
    match operation:
        case "lastn":
            return parameters(patient={"valueString": stored["Patient"]}, code={"valueString": "x"})
        case "validate":
            return parameters(resource={"resource": minimal(resource_type)})
        case "meta-add" | "meta-delete":
            return parameters(meta={"valueMeta": {"tag": [{"system": "urn:walk", "code": "walk"}]}})
        case _:
            return {"resourceType": "Parameters"}


def test_uscore_C12_operations_that_are_not_claimed_are_refused(fhir, stored):
    for name in ("expunge", "graphql", "docref", "document", "convert", "apply", "member-match", "no-such"):
        for path in (f"/${name}", f"/Patient/${name}", f"/Patient/{stored['Patient']}/${name}"):
            for method in ("GET", "POST"):
                answer = fhir.request(method, path, json=None if method == "GET" else {"resourceType": "Parameters"})
                assert (answer.status_code, issues(answer)[0]["code"]) == (404, "not-supported"), (method, path)

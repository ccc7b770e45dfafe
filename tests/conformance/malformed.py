"""Requests that are wrong somewhere: methods, paths, ids, parameters, headers, bodies. Each follows from its number.

Values carry MARK, so that an answer that repeats one is found out.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from random import Random
from typing import Any
from urllib.parse import quote

from capability.search_parameters import SearchType, search_parameters
from tests.conformance.minimal import minimal

MARK = "Zzyzx"
"""Stands in values for what may be patient data."""
OTHER = "NoSuchElement"
"""Stands in names, which answers may repeat."""
TYPES = ("Patient", "Observation", "MedicationRequest", "CarePlan", "Condition", "Encounter", "Organization", "Bundle")
JSON = "application/fhir+json"
FORM = "application/x-www-form-urlencoded"
JSON_PATCH = "application/json-patch+json"


@dataclass
class Wrong:
    """One request, as it goes over the wire. `target` is below the base, without leading slash."""

    method: str = "GET"
    target: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def __str__(self) -> str:
        return f"{self.method} /{self.target[:200]} {self.headers} {self.body[:300]!r}"


def wrong_request(number: int) -> Wrong:
    """Return the request of a number."""
    pick = Random(number)
    return KINDS[number % len(KINDS)](pick)


# --- parts ------------------------------------------------------------------------------------------------------------

ODD_TEXTS = (
    "", " ", MARK, f"{MARK}'--", f'{MARK}"', "%00", "\u0000", "\ud7ff", "\uffff", "é" * 70, MARK * 40, "../..", "null",
    "<script>", "${jndi}", "{{7*7}}", "%", "_", "-", "1e999", "NaN", "0" * 400, f"|{MARK}", "||", "$", ",", ":", "\\",
)  # fmt: skip
ODD_VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1.5, 10**400, "", MARK, [], {}, [[]], [None], {"": MARK}, {"x y": MARK}, [{"x": MARK}], "\u0000",
    {"reference": MARK}, {"resourceType": MARK}, "2020-13-45", "Patient/" + MARK * 30, {"extension": [{}]}, [{}],
)  # fmt: skip


def text(pick: Random) -> str:
    return pick.choice(ODD_TEXTS)


def resource(pick: Random) -> dict[str, Any]:
    return minimal(pick.choice(TYPES))


def mutated(pick: Random, value: Any) -> Any:
    """Return a value with one place made odd."""
    made = deepcopy(value)
    node: Any = made
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        if not keys:
            return made
        key = pick.choice(keys)
        if isinstance(node[key], dict | list) and node[key] and pick.random() < 0.6:
            node = node[key]
            continue
        match pick.randrange(4):
            case 0:
                del node[key]
            case 1 if isinstance(node, dict):
                node[pick.choice((OTHER, "id", "extension", "_status", "contained", "meta", "x"))] = odd(pick)
            case 2 if isinstance(node, dict):
                node[f"{key}{OTHER}"] = node.pop(key)
            case _:
                node[key] = odd(pick)
        return made


def odd(pick: Random) -> Any:
    return deepcopy(pick.choice(ODD_VALUES))


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


# --- kinds ------------------------------------------------------------------------------------------------------------


def methods_and_paths(pick: Random) -> Wrong:
    method = pick.choice(
        ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "LINK", "get", "PROPFIND")
    )
    segments = [
        pick.choice(
            (*TYPES, "patient", "$everything", "$lastn", "$x", "_history", "_search", "metadata", "*", "..", ".",
             "%2e%2e", "", MARK, "a" * 65, "é", "%00", "%", "%zz", "1", "-1", "0", "_x", "1|2", "1,2", "~", "$")
        )
        for _ in range(pick.randrange(1, 5))
    ]  # fmt: skip
    body = encoded(mutated(pick, resource(pick))) if method in {"POST", "PUT", "PATCH"} else b""
    return Wrong(method, "/".join(segments), {"Content-Type": JSON} if body else {}, body)


BAD_BY_TYPE: dict[SearchType, tuple[str, ...]] = {
    SearchType.DATE: ("2020-13", "xx2020", "gt", MARK, "2020-01-01T", "20", "gt2020-02-30", "2020-01-01T25:00:00Z"),
    SearchType.NUMBER: (MARK, "gtx", "1e", "--1", "NaN", "1e99999", ""),
    SearchType.QUANTITY: (MARK, "|||", "5|", "x|y|z", "gt|u|c", "1e99999||mg", "1|2|3|4"),
    SearchType.TOKEN: ("|", "a|b|c", f"{MARK}|", "||", "|" * 50),
    SearchType.REFERENCE: ("Patient/", f"Nothing/{MARK}", "/", "a/b/c/d", "#x", f"{MARK}://", "Patient/" + "a" * 65),
    SearchType.COMPOSITE: ("$", "a", "a$b$c", "$$$", MARK),
    SearchType.STRING: ("", "\\", ",", "%", MARK * 300),
    SearchType.URI: ("", " ", "||", MARK),
}
MODIFIERS = (
    "",
    "",
    ":missing",
    ":exact",
    ":not",
    ":of-type",
    ":in",
    ":below",
    ":text",
    ":identifier",
    ":x",
    ":",
    ":Patient",
)


def parameter(pick: Random, resource_type: str) -> tuple[str, str]:
    known = pick.choice(list(search_parameters(resource_type).values()))
    value = pick.choice((*BAD_BY_TYPE.get(known.type, (MARK,)), text(pick)))
    return f"{known.code}{pick.choice(MODIFIERS)}", value


RESULT = (
    ("_count", "-1"), ("_count", MARK), ("_sort", MARK), ("_sort", "-,,"), ("_include", MARK),
    ("_include", "Patient:x:y:z"), ("_revinclude", "*:*"), ("_include:x", "*"), ("_has", MARK),
    ("_has:Observation:patient", "1"), ("_has:X:y:z", "1"), ("_summary", MARK), ("_elements", "\u0000"),
    ("_total", MARK), ("_format", "xml"), ("_format", MARK), ("_cursor", MARK), ("_since", MARK), ("_at", MARK),
    ("_pretty", MARK), ("fhirVersion", "9"), ("_contained", "both"), ("_type", MARK),
    ("patient.patient.patient.patient.patient.patient.patient.patient.name", "x"), ("subject:Nothing.name", "x"),
    ("code.x", "y"), (":", "x"), (".", "x"), ("_lastUpdated", "gtlt2020"), ("_id", MARK * 30), ("_filter", MARK),
    ("_query", MARK), ("_list", MARK), ("_text", MARK), ("_content", MARK), ("access_token", MARK),
    ("name", "x" * 70_000),
)  # fmt: skip


def parameters(pick: Random) -> Wrong:
    resource_type = pick.choice(TYPES)
    pairs = [parameter(pick, resource_type) for _ in range(pick.randrange(0, 3))]
    if not pairs or pick.random() < 0.5:
        pairs.append(pick.choice(RESULT))
    query = "&".join(
        f"{quote(name, safe=':.')}={quote(value.encode('utf-8', 'surrogatepass'))}" for name, value in pairs
    )
    if pick.random() < 0.1:
        query += pick.choice(("&%ff=1", "&name=%ff%fe", "&" * 500, "&a=1" * 80, "&=x", "&name=%u0041"))
    strict = {"Prefer": "handling=strict"} if pick.random() < 0.3 else {}
    place = pick.choice(
        (resource_type, resource_type, resource_type, "", f"{resource_type}/_history", f"Patient/x/{resource_type}",
         "_history", "Patient/x/_history", "Observation/$lastn", "Patient/x/$everything", "metadata")
    )  # fmt: skip
    if pick.random() < 0.25 and place == resource_type:
        headers = {"Content-Type": pick.choice((FORM, FORM, JSON, "text/plain", "")), **strict}
        return Wrong("POST", f"{place}/_search", headers, query.encode())
    return Wrong("GET", f"{place}?{query}", strict)


HEADERS = (
    ("Accept", "application/fhir+xml"), ("Accept", MARK), ("Accept", "text/html;q=0"), ("Accept", ",,;q=x"),
    ("Content-Type", "application/fhir+xml"), ("Content-Type", MARK),
    ("Content-Type", "application/json; charset=latin1"), ("Content-Type", "multipart/form-data"),
    ("Content-Encoding", "br"), ("Content-Encoding", "gzip"), ("If-Match", MARK), ("If-Match", 'W/"1", W/"2"'),
    ("If-Match", 'W/"99"'), ("If-None-Match", MARK), ("If-None-Exist", OTHER), ("If-None-Exist", "name:nothing=x"),
    ("If-None-Exist", "identifier=|"), ("If-None-Exist", "%ff=%ff"), ("If-Modified-Since", MARK),
    ("Prefer", f"return={MARK}"), ("Prefer", "handling=strict; return=,,"), ("Prefer", "respond-async"),
    ("Authorization", ""), ("Authorization", "Bearer"), ("Authorization", f"Bearer {MARK}"),
    ("Authorization", f"Basic {MARK}"), ("X-Request-Id", MARK + "é"), ("X-Request-Id", "x" * 300), ("Origin", "null"),
    ("Origin", MARK), ("Range", "bytes=0-"), ("Expect", "100-continue"), ("Host", MARK), ("X-Large", "x" * 70_000),
    ("Accept-Encoding", MARK), ("Accept-Charset", MARK), ("Cookie", MARK), ("X-HTTP-Method-Override", "DELETE"),
)  # fmt: skip


def headers(pick: Random) -> Wrong:
    chosen = dict(pick.choice(HEADERS) for _ in range(pick.randrange(1, 4)))
    method = pick.choice(("GET", "POST", "PUT", "DELETE", "PATCH"))
    resource_type = pick.choice(TYPES)
    target = resource_type if method == "POST" else f"{resource_type}/x"
    body = encoded(minimal(resource_type, id="x")) if method in {"POST", "PUT"} else b"[]" if method == "PATCH" else b""
    kind = {"Content-Type": JSON_PATCH if method == "PATCH" else JSON} if body else {}
    return Wrong(method, target, {**kind, **chosen}, body)


def broken(pick: Random, data: bytes) -> bytes:
    """Return a body that is no JSON, or JSON that cannot be kept."""
    cut = pick.randrange(1, len(data))
    match pick.randrange(14):
        case 0:
            return data[:cut]
        case 1:
            return data.replace(b"{", b'{"a":1,"a":2,', 1)
        case 2:
            return b'{"resourceType":"Patient","extension":' + b"[" * 5_000 + b"]" * 5_000 + b"}"
        case 3:
            return data.decode().encode("utf-16")
        case 4:
            return data[:cut] + b"\xff\xfe" + data[cut:]
        case 5:
            return b'{"resourceType":"Observation","valueQuantity":{"value":1e400}}'
        case 6:
            return data.replace(b'"', b"'")
        case 7:
            return data + data
        case 8:
            return b"[" + b"0," * 20_000 + b"0]"
        case 9:
            return b'{"resourceType":"Patient","id":"\\ud800","name":[{"family":"\\u0000"}]}'
        case 10:
            return b'{"resourceType":"Patient","multipleBirthInteger":' + b"9" * 5_000 + b"}"
        case 11:
            return pick.choice((b"", b" ", b"null", b"[]", b"1", b'"x"', b"{}", b"\xef\xbb\xbf", b"NaN", b"<Patient/>"))
        case 12:
            return pick.randbytes(200)
        case _:
            return (
                b'{"resourceType":"Patient","text":{"status":"generated","div":"<div>' + MARK.encode() + b'<script>"}}'
            )


def broken_bodies(pick: Random) -> Wrong:
    method, target = pick.choice((("POST", "Patient"), ("PUT", "Patient/x"), ("POST", ""), ("PATCH", "Patient/x")))
    kind = JSON_PATCH if method == "PATCH" else pick.choice((JSON, JSON, "application/json"))
    return Wrong(method, target, {"Content-Type": kind}, broken(pick, encoded(resource(pick))))


def mutated_resources(pick: Random) -> Wrong:
    made = minimal(pick.choice(TYPES), id="x")
    resource_type = made["resourceType"]
    for _ in range(pick.randrange(1, 4)):
        made = mutated(pick, made)
    if pick.random() < 0.5:
        return Wrong("PUT", f"{resource_type}/{pick.choice(('x', 'y', MARK))}", {"Content-Type": JSON}, encoded(made))
    return Wrong("POST", resource_type, {"Content-Type": JSON}, encoded(made))


def conditional(pick: Random) -> Wrong:
    resource_type = pick.choice(TYPES)
    method = pick.choice(("PUT", "PATCH", "DELETE", "POST"))
    name, value = pick.choice((parameter(pick, resource_type), pick.choice(RESULT), ("", "")))
    query = f"{quote(name, safe=':.')}={quote(value.encode('utf-8', 'surrogatepass'))}"
    body = encoded([] if method == "PATCH" else minimal(resource_type))
    kind = {"Content-Type": JSON_PATCH if method == "PATCH" else JSON} if method != "DELETE" else {}
    if method == "POST":
        return Wrong("POST", resource_type, kind | {"If-None-Exist": query[:2_000]}, body)
    return Wrong(method, f"{resource_type}?{query}", kind, b"" if method == "DELETE" else body)


POINTERS = (
    "",
    "/",
    "/name/-",
    "/name/99",
    "/x/y",
    "/resourceType",
    "/id",
    "/meta/versionId",
    "~",
    "/~2",
    MARK,
    "name",
    "/name/0/family",
)


def json_patches(pick: Random) -> Wrong:
    operations: Any = [
        {
            "op": pick.choice(("add", "remove", "replace", "move", "copy", "test", MARK, "", None)),
            "path": pick.choice((*POINTERS, 3, None)),
            "from": pick.choice(POINTERS),
            "value": odd(pick),
        }
        for _ in range(pick.randrange(0, 3))
    ]
    for operation in operations:
        for key in pick.sample(sorted(operation), pick.randrange(0, 2)):
            del operation[key]
    body = pick.choice((operations, operations, operations, odd(pick), {"op": "add"}))
    return Wrong("PATCH", pick.choice(("Patient/x", "Patient/stored")), {"Content-Type": JSON_PATCH}, encoded(body))


CALLS = (
    ("PATCH", "Patient/stored"), ("POST", "Observation/$lastn"), ("POST", "Patient/$validate"), ("POST", "$meta"),
    ("POST", "Patient/stored/$meta-add"), ("POST", "Patient/stored/$meta-delete"), ("POST", "Patient/stored/$lineage"),
    ("POST", "Patient/stored/$everything"),
)  # fmt: skip


def parameters_bodies(pick: Random) -> Wrong:
    parts = [
        {
            "name": pick.choice(("type", "path", "name", "value", "index", MARK)),
            pick.choice(("valueCode", "valueString", "valueInteger", "valueX", "part", "resource")): odd(pick),
        }
        for _ in range(pick.randrange(0, 5))
    ]
    names = ("operation", "max", "patient", "code", "resource", "profile", "mode", "meta", MARK)
    given = [
        {
            "name": pick.choice(names),
            pick.choice(("part", "valueString", "valueMeta", "resource")): pick.choice((parts, odd(pick))),
        }
        for _ in range(pick.randrange(0, 3))
    ]
    body: Any = {"resourceType": "Parameters", "parameter": given}
    body = pick.choice((body, body, body, mutated(pick, body), odd(pick)))
    method, target = pick.choice(CALLS)
    return Wrong(method, target, {"Content-Type": JSON}, encoded(body))


def bundles(pick: Random) -> Wrong:
    def entry() -> Any:
        inner = wrong_request(pick.randrange(10**6))
        request = {"method": inner.method, "url": inner.target}
        for name in ("ifMatch", "ifNoneExist", "ifNoneMatch", "ifModifiedSince"):
            if pick.random() < 0.1:
                request[name] = odd(pick)
        made: dict[str, Any] = {"fullUrl": pick.choice(("urn:uuid:x", MARK, 3, "Patient/x")), "request": request}
        if inner.method in {"POST", "PUT", "PATCH"}:
            made["resource"] = mutated(pick, resource(pick))
        return mutated(pick, made) if pick.random() < 0.5 else made

    kind = pick.choice(("batch", "transaction", "transaction", "batch", "searchset", MARK, None))
    made: Any = {"resourceType": "Bundle", "type": kind, "entry": [entry() for _ in range(pick.randrange(0, 4))]}
    if pick.random() < 0.3:
        made = mutated(pick, made)
    return Wrong("POST", "", {"Content-Type": JSON}, encoded(made))


BOMB = gzip.compress(b" " * 40_000_000, mtime=0)
"""More than a body may have, from 40 KB."""


def encodings(pick: Random) -> Wrong:
    """A body that is not packed, or not in pieces, as its headers say."""
    data = encoded(resource(pick))
    packed = gzip.compress(data, mtime=0)
    gzipped = {"Content-Type": JSON, "Content-Encoding": "gzip"}
    pieces = {"Content-Type": JSON, "Transfer-Encoding": "chunked"}
    whole = b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data)
    headers, body = pick.choice(
        (
            (gzipped, data),
            (gzipped, packed[: pick.randrange(len(packed))]),
            (gzipped, packed + pick.randbytes(20)),
            (gzipped, BOMB),
            (gzipped, b""),
            (pieces, data + b"\r\n\r\n"),
            (pieces, b"-1\r\n" + whole),
            (pieces, whole.replace(b"\r\n", b"\r\n\r\n", 1)),
            (pieces | {"Content-Length": "3"}, whole),
        )
    )
    return Wrong("POST", pick.choice(("Patient", "", "Patient/$validate")), headers, body)


KINDS: tuple[Callable[[Random], Wrong], ...] = (
    methods_and_paths,
    parameters,
    parameters,
    headers,
    broken_bodies,
    mutated_resources,
    conditional,
    json_patches,
    parameters_bodies,
    bundles,
    encodings,
)

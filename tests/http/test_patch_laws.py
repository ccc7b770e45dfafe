"""Laws of patches: whatever is sent, it is carried out or refused with an error of the request (fhir_rest P1, P2)."""

from __future__ import annotations

from copy import deepcopy
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.errors import RequestError
from fhir_server.fhir.json_body import DEFAULT_LIMITS, encode_json, parse_json
from fhir_server.fhir.patch.patches import Bounds, fhirpath_patch, json_patch, patched
from fhir_server.fhir.patch.paths import PathError, parse_path
from fhir_server.fhir.patch.places import Node
from storage.codec import finished
from tests.http.test_fhirpath_patch import OBSERVATION, PATIENT

BOUNDS = Bounds(2**20, DEFAULT_LIMITS)
STORED = finished(PATIENT, "p", 1, 1_700_000_000_000)
WORDS = [
    "Patient",
    "Observation",
    "name",
    "given",
    "family",
    "identifier",
    "value",
    "system",
    "birthDate",
    "extension",
    "contact",
    "use",
    "where(",
    "exists(",
    "first()",
    "last()",
    "tail()",
    "skip(1)",
    "take(",
    "single()",
    "ofType(",
    "as ",
    "empty()",
    "not()",
    "startsWith('P')",
    "extension('x')",
    "(",
    ")",
    "[0]",
    "[1]",
    "[",
    "]",
    ".",
    ".",
    ".",
    ",",
    " = ",
    " != ",
    " < ",
    " >= ",
    " and ",
    " or ",
    "'official'",
    "'",
    "1",
    "1.10",
    "true",
    "false",
    "$this",
    "@2020-01",
    "`name`",
    "`",
    "\\",
    "é",
    " ",
]
paths = st.lists(st.sampled_from(WORDS), max_size=12).map("".join) | st.text(max_size=20)

KEYS = ["name", "given", "0", "1", "-", "family", "_given", "birthDate", "meta", "id", "~0", "~1", "x", "01"]
pointers = st.lists(st.sampled_from([*KEYS, ""]), max_size=4).map(lambda parts: "".join(f"/{part}" for part in parts))
values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.decimals(-9, 9, places=2) | st.sampled_from(["Peter", "x", ""]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["use", "given", "text"]), inner, max_size=2)
    ),
    max_leaves=5,
)
operations = st.fixed_dictionaries(
    {"op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test", "frob"]), "path": pointers},
    optional={"value": values, "from": pointers},
)


def carried_out_or_refused(make, stored=STORED):
    """Apply a patch; whoever refuses it does so with an error of the request."""
    before = bytes(stored)
    try:
        resource = patched(make(), stored, BOUNDS)
    except RequestError:
        return
    finally:
        assert stored == before
    assert (resource["resourceType"], resource["id"]) == ("Patient", "p")
    assert parse_json(encode_json(resource)) == resource


@settings(max_examples=1000, deadline=None)
@given(paths)
def test_fhir_P2_a_path_leads_somewhere_or_is_refused(path):
    for resource in (PATIENT, OBSERVATION):
        try:
            found = parse_path(path).nodes(Node(deepcopy(resource), None, resource["resourceType"]))
        except PathError:
            continue
        assert all(isinstance(node, Node) for node in found)


@settings(max_examples=1000, deadline=None)
@given(st.lists(operations, max_size=4))
def test_fhir_P1_a_json_patch_is_carried_out_or_refused(document):
    carried_out_or_refused(lambda: json_patch(parse_json(encode_json(document))))


PARTS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["name", "given", "gender", "contact", "extension", "deceased", "x"]),
        "index": st.integers(-1, 3),
        "source": st.integers(-1, 3),
        "destination": st.integers(-1, 3),
        "value": st.sampled_from(
            [
                {"valueString": "x"},
                {"valueHumanName": {"text": "x"}},
                {"valueBoolean": True},
                {"valueDecimal": Decimal("1.10")},
                {"valueExtension": {"url": "http://x.example", "valueString": "x"}},
                {"_valueString": {"extension": [{"url": "http://x.example", "valueString": "x"}]}},
                {"part": [{"name": "text", "valueString": "x"}]},
                {"part": [{"name": "name", "part": [{"name": "family", "valueString": "x"}]}]},
                {"resource": {"resourceType": "Basic", "code": {"text": "x"}}},
            ]
        ),
    },
)
KINDS = {"name": "valueString", "index": "valueInteger", "source": "valueInteger", "destination": "valueInteger"}
ELEMENTS = [
    "Patient",
    "Patient.name",
    "Patient.name[0]",
    "Patient.name.given",
    "Patient.name[1].given",
    "Patient.birthDate",
    "Patient.contact",
    "Patient.maritalStatus.text",
    "Patient.multipleBirth",
    "Patient.identifier",
    "Patient.photo",
]


@settings(max_examples=1000, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["add", "insert", "delete", "replace", "move"]), st.sampled_from(ELEMENTS) | paths, PARTS
        ),
        max_size=3,
    )
)
def test_fhir_P2_a_fhirpath_patch_is_carried_out_or_refused(asked):
    sent = []
    for kind, path, parts in asked:
        made = [{"name": "type", "valueCode": kind}, {"name": "path", "valueString": path}]
        made += [{"name": n, KINDS[n]: v} if n in KINDS else {"name": n, **v} for n, v in parts.items()]
        sent.append({"name": "operation", "part": made})
    body = {"resourceType": "Parameters", **({"parameter": sent} if sent else {})}
    carried_out_or_refused(lambda: fhirpath_patch(deepcopy(body)))

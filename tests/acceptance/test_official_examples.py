"""Resources that others wrote come back as they were sent (mapping Law 1; fhir_rest C1, R3, R6, H12).

Each official example that validates is created as a client would, and read back; each is written under its own id,
changed, and its first version read back. So are the samples beside this file, where the examples are not at hand.
"""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from tests.acceptance.agreement import disagreements
from tests.acceptance.equality import content, differences, exact
from tests.conftest import SHARED
from tests.site import issues

SAMPLES = sorted((Path(__file__).parent / "samples").glob("*.json"))
EXAMPLES = sorted((SHARED / "data" / "r4-examples").glob("*.json"))

REFUSED = {
    "AuditEvent-example": (403, "nobody may write AuditEvents: the server does, of what it saw itself"),
    "AuditEvent-example-logout": (403, "as above"),
    "AuditEvent-example-search": (403, "as above"),
    "MedicationRequest-medrx0301": (400, "dispenseRequest.performer is a Practitioner, it takes an Organization"),
    "Observation-clinical-gender": (400, "performer is an Encounter, which performs nothing"),
    "Questionnaire-qs1": (400, "items have no linkId, which is mandatory"),
}
"""Official examples that are refused: status and reason. Where those that are not valid R4 are at fault stands in
`tests/validation/test_samples.py`."""

SOURCES = [
    pytest.param(SAMPLES, id="samples"),
    pytest.param(
        [path for path in EXAMPLES if path.stem not in REFUSED],
        id="official",
        marks=pytest.mark.skipif(not EXAMPLES, reason="the official examples are not at hand"),
    ),
]
CHANGED = {"system": "http://example.org/acceptance", "code": "changed"}


def what_differs(sent: bytes, answer: httpx.Response) -> list[str]:
    """Return how an answer differs from what was sent; nothing is what is wanted."""
    if answer.status_code not in {200, 201}:
        return [f"{answer.status_code} {answer.text[:300]}"]
    return list(differences(content(exact(sent)), content(exact(answer.content))))


def changed(sent: bytes) -> bytes:
    """Return a resource with one more tag, every other byte of its content as it was."""
    opening, _, rest = sent.partition(b"{")
    resource = json.loads(sent)
    meta = resource.get("meta", {})
    meta["tag"] = [*meta.get("tag", ()), CHANGED]
    if "meta" not in resource:
        return opening + b'{"meta":' + json.dumps(meta).encode() + b"," + rest
    return json.dumps({**resource, "meta": meta}).encode()


@pytest.mark.parametrize("paths", SOURCES)
def test_fhir_C1_what_is_created_is_read_back_digit_for_digit(fhir, paths):
    faults = {}
    for path in paths:
        sent = path.read_bytes()
        created = fhir.post(f"/{json.loads(sent)['resourceType']}", content=sent)
        found = what_differs(sent, created)
        if not found:
            read = fhir.get(created.headers["location"].partition("/_history")[0])
            found = what_differs(sent, read)
            assert read.content == created.content, path.stem
        if found:
            faults[path.stem] = found
    assert faults == {}


@pytest.mark.parametrize("paths", SOURCES)
def test_fhir_R3_the_first_version_stays_what_was_put_under_its_own_id(fhir, paths):
    faults = {}
    for path in paths:
        sent = path.read_bytes()
        resource = json.loads(sent)
        address = f"/{resource['resourceType']}/{resource['id']}"
        first = fhir.put(address, content=sent)
        found = what_differs(sent, first)
        if not found:
            assert (first.status_code, first.headers["etag"]) == (201, 'W/"1"'), path.stem
            second = fhir.put(address, content=changed(sent))
            assert (second.status_code, second.headers["etag"]) == (200, 'W/"2"'), path.stem
            assert CHANGED in fhir.get(address).json()["meta"]["tag"], path.stem
            old = fhir.get(f"{address}/_history/1")
            found = what_differs(sent, old)
            assert old.content == first.content, path.stem
        if found:
            faults[path.stem] = found
    assert faults == {}


@pytest.mark.skipif(not EXAMPLES, reason="the official examples are not at hand")
def test_the_other_official_examples_are_refused_with_the_place_and_not_stored(fhir):
    for path in (path for path in EXAMPLES if path.stem in REFUSED):
        resource = json.loads(path.read_bytes())
        answer = fhir.post(f"/{resource['resourceType']}", content=path.read_bytes())
        assert answer.status_code == REFUSED[path.stem][0], path.stem
        for issue in issues(answer):
            assert issue["diagnostics"], path.stem
            assert answer.status_code == 403 or issue["expression"], path.stem
        assert fhir.get(f"/{resource['resourceType']}/{resource['id']}").status_code == 404


def test_rows_store_and_index_agree_afterwards(site, fhir):
    assert disagreements(site.settings.database_url) == []

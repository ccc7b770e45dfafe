"""Packed bodies, both ways (fhir_rest H14, H11; RFC 9110 §8.4, §12.5.3)."""

from __future__ import annotations

import gzip
import json
import zlib

import httpx
import pytest

from fhir_server.errors import BodyTooLarge, MalformedBody
from fhir_server.fhir.body import unpacked
from fhir_server.fhir.packing import LEAST_PACKED
from tests.site import issues, patient

LONG = "x" * 5_000


@pytest.mark.parametrize("size", [0, 1, 10_000, 100_000])
def test_fhir_H14_what_was_packed_is_unpacked(size):
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    assert unpacked(gzip.compress(data), 100_000) == data
    assert unpacked(gzip.compress(data) + gzip.compress(b"more"), 200_000) == data + b"more"


@pytest.mark.parametrize(
    "data",
    [b"plain", gzip.compress(b"x" * 100)[:-5], gzip.compress(b"x")[:10], gzip.compress(b"x") + b"junk"],
    ids=[
        "plain",
        "cut off",
        "nothing but its head",
        "followed by junk",
    ],  # gzip says when it was made: no name for a test
)
def test_fhir_H14_what_is_no_whole_gzip_is_refused(data):
    with pytest.raises(MalformedBody):
        unpacked(data, 1_000)


def test_fhir_H11_unpacking_stops_at_the_limit():
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(packer.compress(bytes(2**20)) for _ in range(200)) + packer.flush()
    assert len(bomb) < 2**18
    with pytest.raises(BodyTooLarge):
        unpacked(bomb, 2**20)
    with pytest.raises(BodyTooLarge):
        unpacked(gzip.compress(bytes(600)) * 2, 1_000)
    assert len(unpacked(gzip.compress(bytes(1_000)), 1_000)) == 1_000


def test_fhir_H14_a_request_may_be_packed(fhir):
    body = gzip.compress(json.dumps(patient(LONG)).encode())
    created = fhir.post("/Patient", content=body, headers={"Content-Encoding": "gzip"})
    assert created.status_code == 201
    assert created.json()["name"][0]["family"] == LONG
    form = {"Content-Encoding": "gzip", "Content-Type": "application/x-www-form-urlencoded"}
    found = fhir.post("/Patient/_search", content=gzip.compress(f"family={LONG}".encode()), headers=form)
    assert found.json()["total"] == 1
    bundle = {"resourceType": "Bundle", "type": "batch", "entry": [{"request": {"method": "GET", "url": "Patient/no"}}]}
    answer = fhir.post("/", content=gzip.compress(json.dumps(bundle).encode()), headers={"Content-Encoding": "gzip"})
    assert answer.json()["entry"][0]["response"]["status"] == "404"


def test_fhir_H14_a_request_that_only_says_so_is_400(fhir):
    answer = fhir.post("/Patient", json=patient(), headers={"Content-Encoding": "gzip"})
    assert (answer.status_code, issues(answer)[0]["code"]) == (400, "structure")


def test_fhir_H11_a_bomb_is_413(fhir):
    bomb = gzip.compress(b" " * (17 * 2**20))
    answer = fhir.post("/Patient", content=bomb, headers={"Content-Encoding": "gzip"})
    assert (answer.status_code, issues(answer)[0]["code"]) == (413, "too-long")


@pytest.mark.parametrize(
    ("accepted", "coding"), [("gzip", "gzip"), ("identity", None), ("gzip;q=0", None), ("*", "gzip")]
)
def test_fhir_H14_long_answers_are_packed_for_who_takes_it(fhir, accepted, coding):
    key = fhir.post("/Patient", json=patient(LONG)).json()["id"]
    answer = fhir.get(f"/Patient/{key}", headers={"Accept-Encoding": accepted})
    assert answer.headers.get("content-encoding") == coding
    assert answer.json()["name"][0]["family"] == LONG
    assert "Accept-Encoding" in answer.headers["vary"]
    if coding:
        assert int(answer.headers["content-length"]) < 1_000


def test_fhir_H14_nobody_who_does_not_ask_gets_gzip(site, fhir):
    key = fhir.post("/Patient", json=patient(LONG)).json()["id"]
    request = httpx.Request("GET", f"{site.base}/Patient/{key}", headers={"Authorization": f"Bearer {site.token()}"})
    with httpx.Client() as client:
        answer = client.send(request)
    assert "accept-encoding" not in request.headers
    assert "content-encoding" not in answer.headers


def test_fhir_H14_short_answers_and_empty_ones_are_sent_as_they_are(fhir):
    created = fhir.post("/Patient", json=patient())
    key = created.json()["id"]
    assert len(created.content) < LEAST_PACKED
    empty = fhir.get(f"/Patient/{key}", headers={"If-None-Match": 'W/"1"'})
    gone = fhir.delete(f"/Patient/{key}")
    assert [each.status_code for each in (empty, gone)] == [304, 204]
    assert not any("content-encoding" in each.headers for each in (created, empty, gone))


def test_fhir_H14_head_tells_of_the_answer_to_get(fhir):
    key = fhir.post("/Patient", json=patient(LONG)).json()["id"]
    full, bare = fhir.get(f"/Patient/{key}"), fhir.head(f"/Patient/{key}")
    assert bare.content == b""
    assert bare.headers["content-encoding"] == "gzip"
    assert bare.headers["content-length"] == full.headers["content-length"]


def test_fhir_H14_large_bundles_are_packed_too(fhir):
    entries = [{"resource": patient("Many"), "request": {"method": "POST", "url": "Patient"}} for _ in range(300)]
    answer = fhir.post("/", json={"resourceType": "Bundle", "type": "batch", "entry": entries})
    assert answer.headers["content-encoding"] == "gzip"
    assert len(answer.json()["entry"]) == 300
    page = fhir.get("/Patient?family=Many&_count=300")
    assert page.headers["content-encoding"] == "gzip"
    assert len(page.json()["entry"]) == 300

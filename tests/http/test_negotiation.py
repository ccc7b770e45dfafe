"""Content negotiation (FHIR R4 http.html#mime-type; fhir_rest §1 H3-H6, H8; RFC 9110 §12.5.1; RFC 7240)."""

from __future__ import annotations

import pytest

from fhir_server.errors import InvalidParameter, NotAcceptable, UnsupportedMediaType, UnsupportedPatch
from fhir_server.fhir.negotiation import (
    Return,
    check_version,
    preferences,
    pretty,
    require_form_body,
    require_json_acceptable,
    require_json_body,
    require_patch_body,
    takes_gzip,
)


@pytest.mark.parametrize(
    "accept",
    [
        "",
        "application/fhir+json",
        "application/json",
        "text/json",
        "*/*",
        "application/*",
        "APPLICATION/FHIR+JSON; charset=utf-8",
        "application/fhir+json; fhirVersion=4.0",
        "application/fhir+xml, application/fhir+json;q=0.1",
        "application/fhir+xml;q=0.9, */*;q=0.1",
        "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        "text/html",
        'text/plain;note="a, application/xml", application/json',
        "application/fhir+json;q=banana",
    ],
)
def test_fhir_H3_json_is_sent_to_who_accepts(accept):
    require_json_acceptable(accept, None)


@pytest.mark.parametrize(
    "accept",
    [
        "application/fhir+xml",
        "text/turtle, image/png",
        "application/fhir+json;q=0",
        "application/fhir+json;q=0, */*",
        "*/*;q=0",
        "application/fhir+json; fhirVersion=5.0",
    ],
)
def test_fhir_H3_406_is_sent_to_who_accepts_only(accept):
    with pytest.raises(NotAcceptable):
        require_json_acceptable(accept, None)


@pytest.mark.parametrize("asked", ["json", "application/fhir+json", "application/fhir json", "text/json", "JSON"])
def test_fhir_H3_format_parameter_wins_over_accept(asked):
    require_json_acceptable("application/fhir+xml", asked)


@pytest.mark.parametrize("asked", ["xml", "application/fhir+xml", "ttl", "application/fhir+json; fhirVersion=3.0"])
def test_fhir_H3_format_parameter_that_is_not_served_is_not_acceptable(asked):
    with pytest.raises(NotAcceptable):
        require_json_acceptable("application/fhir+json", asked)


def test_fhir_H3_fhir_version_4_0_is_served_and_no_other():
    check_version(None)
    check_version("4.0")
    with pytest.raises(NotAcceptable):
        check_version("5.0")


@pytest.mark.parametrize(
    "kind",
    ["application/fhir+json", "application/json; charset=UTF-8", "text/json", 'application/json; charset="utf-8"'],
)
def test_fhir_H5_json_bodies_are_read(kind):
    require_json_body(kind, "")


@pytest.mark.parametrize(
    ("kind", "encoding"),
    [
        ("", ""),
        ("application/fhir+xml", ""),
        ("application/json-patch+json", ""),
        ("application/fhir+json; charset=latin1", ""),
        ("application/fhir+json; fhirVersion=3.0", ""),
        ("application/fhir+json", "br"),
        ("application/fhir+json", "gzip, gzip"),
    ],
)
def test_fhir_H5_other_bodies_are_refused(kind, encoding):
    with pytest.raises(UnsupportedMediaType):
        require_json_body(kind, encoding)


@pytest.mark.parametrize("encoding", ["", "identity", "gzip", "x-gzip", "GZIP"])
def test_fhir_H14_bodies_come_as_they_are_or_packed(encoding):
    require_json_body("application/fhir+json", encoding)


@pytest.mark.parametrize(
    ("accept_encoding", "packed"),
    [
        ("", False),
        ("identity", False),
        ("gzip", True),
        ("deflate, gzip;q=0.5", True),
        ("gzip;q=0", False),
        ("*", True),
        ("*;q=0", False),
        ("gzip;q=0, *", False),
        ("br, x-gzip", True),
    ],
)
def test_fhir_H14_answers_are_packed_for_who_takes_gzip(accept_encoding, packed):
    assert takes_gzip(accept_encoding) is packed


@pytest.mark.parametrize(
    ("kind", "is_patch"),
    [
        ("application/json-patch+json", True),
        ("application/fhir+json", True),
        ("application/json; charset=utf-8", True),
        ("application/merge-patch+json", False),
        ("application/xml-patch+xml", False),
        ("", False),
    ],
)
def test_fhir_P5_two_kinds_of_patch_are_read(kind, is_patch):
    if is_patch:
        require_patch_body(kind, "")
        return
    with pytest.raises(UnsupportedPatch):
        require_patch_body(kind, "")


def test_fhir_S1_a_search_by_post_is_a_form():
    require_form_body("application/x-www-form-urlencoded; charset=utf-8", "")
    with pytest.raises(UnsupportedMediaType):
        require_form_body("application/fhir+json", "")


@pytest.mark.parametrize(("value", "indented"), [("true", True), ("false", False), ("", False)])
def test_fhir_H6_pretty_is(value, indented):
    assert pretty([("_pretty", value)]) is indented


def test_fhir_H6_pretty_is_nothing_else():
    with pytest.raises(InvalidParameter):
        pretty([("_pretty", "yes")])


@pytest.mark.parametrize(
    ("prefer", "returns", "strict"),
    [
        ("", Return.REPRESENTATION, False),
        ("return=minimal", Return.MINIMAL, False),
        ("return=representation", Return.REPRESENTATION, False),
        ("return=OperationOutcome", Return.OPERATION_OUTCOME, False),
        ("handling=strict,return=minimal", Return.MINIMAL, True),
        ('return="minimal"; foo=bar, handling=lenient', Return.MINIMAL, False),
        ("return=minimal, return=representation", Return.MINIMAL, False),
        ("respond-async, wait=10", Return.REPRESENTATION, False),
        ("return=everything", Return.REPRESENTATION, False),
    ],
)
def test_fhir_H8_preferences_combine(prefer, returns, strict):
    found = preferences(prefer)
    assert (found.returns, found.strict) == (returns, strict)

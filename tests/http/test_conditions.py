"""Preconditions (FHIR R4 http.html#concurrency, #cread; RFC 9110 §13; fhir_rest H9, R2, U3)."""

from __future__ import annotations

import pytest

from fhir_server.errors import InvalidHeader
from fhir_server.fhir.conditions import NO_VERSION, etag, expected_version, http_date, is_unmodified
from storage.resources import ANY_VERSION, ResourceKey, Version

VERSION = Version(ResourceKey("Patient", "1"), 3, 1_700_000_000_900, deleted=False, body=b"{}")


def test_fhir_H9_entity_tag_and_date_are_those_of_the_version():
    assert etag(3) == 'W/"3"'
    assert http_date(1_700_000_000_900) == "Tue, 14 Nov 2023 22:13:20 GMT"


@pytest.mark.parametrize(
    ("header", "version"),
    [
        (None, None),
        ("", None),
        ('W/"3"', 3),
        ('"3"', 3),
        ("3", 3),
        ("*", ANY_VERSION),
        ('W/"abc"', NO_VERSION),
        ('W/"0"', NO_VERSION),
        ('W/"99999999999"', NO_VERSION),
    ],
)
def test_fhir_U3_if_match_asks_for_a_version(header, version):
    assert expected_version(header) == version


def test_fhir_U3_several_versions_cannot_be_asked_for():
    with pytest.raises(InvalidHeader):
        expected_version('W/"1", W/"2"')


@pytest.mark.parametrize(
    ("if_none_match", "if_modified_since", "unmodified"),
    [
        (None, None, False),
        ('W/"3"', None, True),
        ('"3"', None, True),
        ('W/"1", W/"3"', None, True),
        ("*", None, True),
        ('W/"2"', None, False),
        (None, "Tue, 14 Nov 2023 22:13:20 GMT", True),
        (None, "Tue, 14 Nov 2023 22:13:21 GMT", True),
        (None, "Tue, 14 Nov 2023 22:13:19 GMT", False),
        (None, "yesterday", False),
        ('W/"2"', "Tue, 14 Nov 2033 22:13:21 GMT", False),
        ('W/"3"', "Tue, 14 Nov 2003 22:13:21 GMT", True),
    ],
)
def test_fhir_R2_a_client_has_the_version_when(if_none_match, if_modified_since, unmodified):
    assert is_unmodified(VERSION, if_none_match, if_modified_since) is unmodified

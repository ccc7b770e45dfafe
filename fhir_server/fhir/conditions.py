"""Preconditions of requests and the headers they look at (FHIR R4 http.html#concurrency, #cread; RFC 9110 §13)."""

from __future__ import annotations

import re
from email.utils import formatdate, parsedate_to_datetime
from functools import lru_cache
from typing import Final

from fhir_server.errors import InvalidHeader
from storage.resources import ANY_VERSION, Version

NO_VERSION: Final = -1
"""Expected version of an `If-Match` that no version can meet."""
_ETAG: Final = re.compile(r'\s*(?:W/)?"?([^",]*)"?\s*\Z')
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,8}\Z")


def etag(version: int) -> str:
    """Return the weak entity tag of a version."""
    return f'W/"{version}"'


@lru_cache(maxsize=4096)
def _http_date(seconds: int) -> str:
    return formatdate(seconds, usegmt=True)


def http_date(milliseconds: int) -> str:
    """Return an instant as HTTP writes it, cut to the second."""
    return _http_date(milliseconds // 1000)


def expected_version(if_match: str | None) -> int | None:
    """Return the version that `If-Match` asks for: ANY_VERSION for `*`, None without the header.

    A tag that is no version number can never match. Raises InvalidHeader for several tags: a resource has one version.
    """
    if not if_match:
        return None
    if if_match.strip() == "*":
        return ANY_VERSION
    match = _ETAG.match(if_match)
    if match is None:
        raise InvalidHeader("If-Match", 'Name one version: If-Match: W/"3".')
    return int(match[1]) if _NUMBER.match(match[1]) else NO_VERSION


def names_tag(if_none_match: str, tag: str) -> bool:
    """Say whether `If-None-Match` names an entity tag, compared weakly (RFC 9110 §13.1.2)."""
    bare = tag.removeprefix("W/")
    return any(each.strip() in {"*", tag, bare} for each in if_none_match.split(","))


def is_unmodified(version: Version, if_none_match: str | None, if_modified_since: str | None) -> bool:
    """Say whether the client already has this version; `If-None-Match` decides when both are given (R2)."""
    if if_none_match:
        return any(_names(tag, version) for tag in if_none_match.split(","))
    since = _instant(if_modified_since)
    return since is not None and version.last_updated // 1000 <= since


def _names(tag: str, version: Version) -> bool:
    if tag.strip() == "*":
        return True
    match = _ETAG.match(tag)
    return match is not None and match[1] == str(version.version)


def _instant(text: str | None) -> int | None:
    """Return seconds since 1970; a date that cannot be read is as if it had not been sent (RFC 9110 §13.1.3)."""
    if not text:
        return None
    try:
        return int(parsedate_to_datetime(text).timestamp())
    except (ValueError, TypeError, OverflowError):
        return None

"""Fixtures of a running server."""

from tests.site import fhir, site

__all__ = ["fhir", "site"]

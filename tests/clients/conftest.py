"""Fixtures of a running server, for clients that nobody here wrote."""

from tests.site import fhir, site

__all__ = ["fhir", "site"]

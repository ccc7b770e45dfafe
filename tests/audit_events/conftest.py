"""Fixtures of a running server, and records of every kind."""

from tests.site import fhir, site

__all__ = ["fhir", "site"]

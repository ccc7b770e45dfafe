"""Histories are asked for over HTTP, and of the store."""

from tests.site import fhir, site

__all__ = ["fhir", "site"]

"""Fixtures of a running server, and of its log."""

from tests.logged import logged
from tests.site import fhir, site

__all__ = ["fhir", "logged", "site"]

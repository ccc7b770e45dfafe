"""Refusal of parts: what a search cut down is no resource to store (FHIR R4 search.html#summary; fhir_rest Q6)."""

from __future__ import annotations

from typing import Any

from fhir_server.errors import Issue, RuleBroken
from fhir_server.fhir.subset import is_subsetted

_REMEDY = "It is marked as a part of a resource (SUBSETTED): read the whole one, change that, and take the tag away."


def require_whole(resource: dict[str, Any]) -> None:
    """Refuse a resource that is tagged as a part of one: storing it would lose the rest; raises RuleBroken."""
    if "meta" in resource and is_subsetted(resource):
        raise RuleBroken([Issue("business-rule", _REMEDY, f"{resource['resourceType']}.meta.tag")])

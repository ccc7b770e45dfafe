"""The sample data of US Core behind a running server, and a client that asks as the conformance kits do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.site import fhir, site
from tests.us_core.groups import Group, sample_bundle

__all__ = ["fhir", "kit", "site"]

PAGES = 20
"""A kit follows so many pages, and no more."""


@dataclass
class Kit:
    """Asks the server, and checks what every answer owes (us_core.md G11–G13)."""

    client: httpx.Client
    resources: dict[str, dict[str, Any]] = field(default_factory=dict)

    def read_all(self, references: list[str]) -> None:
        """Keep what the server shows of the resources."""
        for reference in references:
            answer = self.client.get(reference)
            assert answer.status_code == 200, answer.text
            self.resources[reference] = answer.json()

    def of(self, group: Group) -> list[dict[str, Any]]:
        """Return the resources of a profile group."""
        return [resource for resource in self.resources.values() if group.has(resource)]

    def search(self, path: str, parameters: dict[str, str], method: str = "GET") -> list[dict[str, Any]]:
        """Return the entries of all pages of a search."""
        answer = self.ask(path, parameters, method)
        entries: list[dict[str, Any]] = []
        for _ in range(PAGES):
            assert answer.status_code == 200, answer.text
            bundle = answer.json()
            self.check(bundle)
            entries += bundle.get("entry", [])
            matched = [entry["resource"] for entry in entries if entry["search"]["mode"] == "match"]
            assert {each["resourceType"] for each in matched} <= {path}
            following = [link["url"] for link in bundle["link"] if link["relation"] == "next"]
            if not following:
                return entries
            answer = self.client.get(following[0])
        raise AssertionError(f"more than {PAGES} pages")

    def ask(self, path: str, parameters: dict[str, str], method: str = "GET") -> httpx.Response:
        """Return the first page of a search; POST sends the parameters as a form to `_search`."""
        if method == "GET":
            return self.client.get(path, params=parameters)
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        return self.client.post(f"{path}/_search", data=parameters, headers=form)

    def matches(self, path: str, parameters: dict[str, str], method: str = "GET") -> list[dict[str, Any]]:
        """Return the resources that match a search."""
        entries = self.search(path, parameters, method)
        return [entry["resource"] for entry in entries if entry["search"]["mode"] == "match"]

    @staticmethod
    def check(bundle: dict[str, Any]) -> None:
        """Check the shape of a page."""
        assert (bundle["resourceType"], bundle["type"]) == ("Bundle", "searchset")
        for entry in bundle.get("entry", []):
            assert entry["search"]["mode"] in {"match", "include", "outcome"}
            if entry["search"]["mode"] == "outcome":
                assert entry["resource"]["resourceType"] == "OperationOutcome"
            else:
                assert urlsplit(entry["fullUrl"]).path.endswith(
                    f"/{entry['resource']['resourceType']}/{entry['resource']['id']}"
                )


@pytest.fixture(scope="module")
def kit(fhir: httpx.Client) -> Kit:
    """A kit whose server holds the sample data."""
    answer = fhir.post("", json=sample_bundle())
    assert answer.status_code == 200, answer.text
    made = Kit(fhir)
    made.read_all([entry["request"]["url"] for entry in sample_bundle()["entry"]])
    return made

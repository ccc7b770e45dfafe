"""The operator's own search parameters, from files to the running process (`FHIR_SERVER_SEARCH_PARAMETERS`)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from fhir_server.settings import PREFIX, Settings, SettingsInvalid
from storage.projection.custom_parameters import UnusableSearchParameter, install_search_parameters

VARIABLE = f"{PREFIX}SEARCH_PARAMETERS"


def take_up_search_parameters(settings: Settings) -> None:
    """Serve the parameters that the settings name, from now on; without any do nothing.

    Every process that indexes or searches calls it first. Raises SettingsInvalid.
    """
    if settings.search_parameters is None:
        return
    try:
        install_search_parameters(list(_resources(settings.search_parameters)))
    except UnusableSearchParameter as fault:
        raise SettingsInvalid(f"{VARIABLE}: {fault}") from fault


def _resources(place: Path) -> Iterator[dict[str, Any]]:
    """Yield the resources of a file, or of every JSON file of a folder; a Bundle stands for its resources."""
    files = sorted(place.glob("*.json")) if place.is_dir() else [place]
    for file in files:
        try:
            content = msgspec.json.decode(file.read_bytes())
        except (OSError, msgspec.DecodeError) as error:
            raise SettingsInvalid(f"{VARIABLE}: {file.name} cannot be read as JSON.") from error
        if not isinstance(content, dict):
            raise SettingsInvalid(f"{VARIABLE}: {file.name} holds no resource.")
        if content.get("resourceType") == "Bundle":
            yield from (entry["resource"] for entry in content.get("entry", ()) if "resource" in entry)
        else:
            yield content

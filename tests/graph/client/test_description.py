"""The client is made for what the OpenAPI document describes: every endpoint, every member."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fhir_server.graph_client import models, sent
from tests.graph.answers import document

ROOT = Path(__file__).resolve().parents[3]
SHOWN: Mapping[str, type[msgspec.Struct]] = {
    "Profile": models.Profile,
    "Mapping": models.IdentityMapping,
    "Lab": models.LabResult,
    "Protocol": models.Protocol,
    "Event": models.Event,
    "Line": models.ConversationLine,
    "Treatment": models.Treatment,
    "Prescription": models.Prescription,
    "Reading": models.Reading,
    "DailyStat": models.DailyStat,
    "Ingestion": models.Ingested,
    "Resolved": models.Resolved,
    "Pagination": models.Pagination,
}
SENT: Mapping[str, type[msgspec.Struct]] = {
    "NewProfile": sent.NewProfile,
    "ProfileChanges": sent.ProfileChanges,
    "NewMapping": sent.NewIdentityMapping,
    "NewLab": sent.NewLab,
    "LabChanges": sent.LabChanges,
    "NewProtocol": sent.NewProtocol,
    "ProtocolChanges": sent.ProtocolChanges,
    "NewEvent": sent.NewEvent,
    "NewLines": sent.NewLines,
    "Said": sent.Line,
    "NewTreatment": sent.NewTreatment,
    "TreatmentChanges": sent.TreatmentChanges,
    "NewReading": sent.NewReading,
    "NewReadings": sent.NewReadings,
}


@pytest.mark.parametrize("name", [*SHOWN, *SENT])
def test_a_struct_has_the_members_of_its_schema(name: str):
    schema: Mapping[str, Any] = document()["components"]["schemas"][name]
    struct = {**SHOWN, **SENT}[name]
    fields = {each.encode_name: each for each in msgspec.structs.fields(struct)}
    assert set(fields) == set(schema["properties"])
    required = {wire for wire, each in fields.items() if each.required}
    if name in SENT:
        assert required == set(schema.get("required", ())), "what has to be sent"
    else:
        assert required <= set(schema.get("required", ())), "what an answer always has"


def test_the_client_is_what_the_script_makes_of_the_asynchronous_one():
    spec = importlib.util.spec_from_file_location("generate_client", ROOT / "scripts/generate_client.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.TARGET.read_text("utf-8") == script.synchronous(), "run scripts/generate_client.py"

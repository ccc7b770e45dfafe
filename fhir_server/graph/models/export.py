"""The export of one person's record, for the OpenAPI description."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from storage.repositories.person_export import CORE, STREAMED

TABLES = (*(str(table.name) for table in CORE), *(name for name in STREAMED if name != "wearable_data"))
SHOWN: dict[str, Any] = {
    "_export": {"customerId": "123e4567-e89b-12d3-a456-426614174000", "exportedAt": "2026-03-20T19:45:00Z"},
    "_records": [{"table": "customer_profiles", "id": "123e4567-e89b-12d3-a456-426614174000"}],
    **{name: [] for name in TABLES},
    "_counts": dict.fromkeys(TABLES, 0),
}


class Export(BaseModel):
    """One person's rows by table, as `fhir-server load` takes them; names with an underscore say something of them."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [SHOWN]})

    export: dict[str, Any] = Field(alias="_export", description="Whose record, and when it was read")
    records: list[dict[str, str]] = Field(alias="_records", description="All records of the person, merged ones too")
    customer_profiles: list[dict[str, Any]]
    counts: dict[str, int] = Field(alias="_counts", description="Rows by table; last, so that a whole export has it")

"""What rows render is R4 in the eyes of a second library, too (design Decision 2)."""

from __future__ import annotations

import json

import pytest
from fhir.resources.R4B import get_fhir_model_class

from mappers.registry import MAPPERS
from storage.codec import encode
from tests.mappers.samples import graph_rows, needs_samples

ROW_TABLES = (
    "customer_profiles",
    "lab_results",
    "protocols",
    "subscriptions",
    "patient_prescriptions",
    "patient_wearable_readings",
    "patient_wearable_daily_stats",
)

SAMPLED = [mapper for mapper in MAPPERS if mapper.table in ROW_TABLES]


@needs_samples
@pytest.mark.parametrize(
    "mapper", [each for each in MAPPERS if each.table in ROW_TABLES], ids=lambda mapper: mapper.name
)
def test_every_sample_row_renders_a_resource_that_fhir_resources_accepts(mapper):
    model = get_fhir_model_class(mapper.resource_type)
    for row in graph_rows()[mapper.table]:
        for part in mapper.parts(row):
            rendered = mapper.render(row, part)
            # The library reads JSON with floats, so its copy serves for the check alone.
            assert model.model_validate(json.loads(encode(rendered))) is not None

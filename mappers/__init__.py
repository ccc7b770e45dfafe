"""Two-way mappings between internal rows and FHIR R4 resources (pure)."""

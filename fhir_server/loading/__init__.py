"""Loading of files: FHIR bundles, NDJSON and tables of the internal systems."""

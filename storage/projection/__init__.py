"""From rows to the FHIR store."""

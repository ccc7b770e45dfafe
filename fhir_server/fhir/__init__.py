"""The FHIR REST API."""

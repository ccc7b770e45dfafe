"""The patient graph API: the clinical interface over the tables that FHIR shows."""

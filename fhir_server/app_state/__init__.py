"""SMART App State: what apps keep for themselves, beside the FHIR store (`smart.md` §17)."""

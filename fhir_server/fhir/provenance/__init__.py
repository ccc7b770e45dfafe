"""Provenance of versions: made from what `fhir_changes` knows when it is asked for, and never stored (decision 18)."""

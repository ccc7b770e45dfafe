"""Tables, transactions, the FHIR store and search: everything that knows SQL."""

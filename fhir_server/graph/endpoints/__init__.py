"""One module per resource of the patient graph API."""

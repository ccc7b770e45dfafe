"""A typed client of the patient graph API; it imports nothing else of the project."""

"""Code tables of the mappings, as data."""

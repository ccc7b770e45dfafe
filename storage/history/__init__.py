"""What was: versions of one resource, of a type, of all types, and a record as it stood at an instant."""

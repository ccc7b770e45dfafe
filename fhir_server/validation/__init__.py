"""The write boundary: everything written is validated before it touches a table (design Decision 2)."""

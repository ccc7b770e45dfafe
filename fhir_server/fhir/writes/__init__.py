"""Writes, from a request to what it stored: plans, conditions and patches, one unit of work."""

"""Frozen revisions, oldest first."""

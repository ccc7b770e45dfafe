"""Drift: what mappers declare held against the database as it is, and what is stopped because of it."""

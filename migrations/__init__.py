"""Alembic migrations for PostgreSQL and SQLite."""

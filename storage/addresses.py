"""Addresses of databases, for those who may not look into them (`postgresql://…`, `sqlite:///path`)."""

from __future__ import annotations

from sqlalchemy import make_url


def is_sqlite(url: str) -> bool:
    """Say whether a URL names a SQLite file."""
    return make_url(url).get_backend_name() == "sqlite"


def without_password(url: str) -> str:
    """Return a URL as it may be shown."""
    return make_url(url).render_as_string(hide_password=True)

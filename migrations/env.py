"""Alembic's entry: runs on the connection, and in the transaction, that `storage.schema` opened.

There is no alembic.ini and no way to run without it: the lock, the roles and the triggers are its business.
"""

from __future__ import annotations

from alembic import context

context.configure(connection=context.config.attributes["connection"])
with context.begin_transaction():
    context.run_migrations()

"""Alembic's entry: runs the revisions over the connection of `Store.upgrade`, inside its transaction."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()

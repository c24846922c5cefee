"""Run by Alembic for every migration; the connection and its transaction are the caller's."""

from alembic import context

from feedsvc.db.migrate import comparison

context.configure(connection=context.config.attributes["connection"], **comparison())
with context.begin_transaction():
    context.run_migrations()

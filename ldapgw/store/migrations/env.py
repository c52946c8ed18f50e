# SPDX-License-Identifier: MIT
"""Runs the migrations on the connection that `ldapgw.store.database` has opened."""

from alembic import context

from ldapgw.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()

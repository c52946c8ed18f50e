# SPDX-License-Identifier: MIT
"""The tables of version 1.0.0, which `ldapgw.store.database.upgrade` makes in an empty database."""

revision = "0041"
down_revision = None
# The revision of the oldest gateways that can read and write these tables.  If earlier gateways cannot use the tables
# of a later migration, `readable_from` in the later migration is the revision of that migration.  The `readable_from`
# of the newest migration counts.
readable_from = "0041"

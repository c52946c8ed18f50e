# SPDX-License-Identifier: MIT
"""The tables of the first databases that are still upgraded.

A database without tables gets the newest tables from `ldapgw.store.database.upgrade`, so this migration makes nothing.
"""

revision = "0040"
down_revision = None
# The revision of the oldest gateways that can read and write these tables.  If earlier gateways cannot use the tables
# of a later migration, `readable_from` in the later migration is the revision of that migration.  The `readable_from`
# of the newest migration counts.
readable_from = "0040"

# SPDX-License-Identifier: MIT
"""The oldest revision from which the gateway upgrades a database.

A database without tables gets the newest tables from `ldapgw.store.database.upgrade`, so this migration does nothing.
"""

revision = "0040"
down_revision = None
# The revision of the oldest gateways that can read and write these tables.  A migration that makes the tables unusable
# for older gateways has its own revision as `readable_from`.  Any other migration repeats the value of the preceding
# migration.  Only the value in the newest migration counts.
readable_from = "0040"

# SPDX-License-Identifier: MIT
"""The oldest revision from which the gateway upgrades a database.

A database without tables gets the newest tables from `ldapgw.store.database.upgrade`, so this migration does nothing.
"""

revision = "0040"
down_revision = None
# The revision of the oldest gateways that can read and write these tables.  A later migration sets `readable_from` only
# if these gateways cannot use its tables.  The value in the newest migration that sets `readable_from` counts.
readable_from = "0040"

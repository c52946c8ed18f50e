# SPDX-License-Identifier: MIT
"""Replication: an LDAP server elsewhere holds a copy of a tenant's directory by content synchronization (RFC 4533).

Read `provider` first: `server` makes a `Provider`, which adds the Sync Request control to the LDAP server.  The
`Provider` is called for each published snapshot, and sends replicas the changes that `change_log` finds between two
snapshots.  `replica_entry` encodes entries, and `slapd` writes the configuration of OpenLDAP.

Only `ldapgw.server.parts.phone_parts` and the command ``replica-config`` import this package.
"""

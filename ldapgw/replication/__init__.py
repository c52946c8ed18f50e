# SPDX-License-Identifier: MIT
"""Replication: an LDAP server elsewhere holds a copy of a tenant's directory, by content synchronization (RFC 4533).

Read `provider` first: `server` makes a `Provider`, which adds the Sync Request control to the LDAP server and is called
for each published snapshot.  `change_log` finds what has changed from one snapshot to the next, `sync_response` sends
the changes, `sync_controls` encodes controls and messages, and `replica_entry` encodes entries.  `slapd` writes the
configuration of OpenLDAP.

Only `ldapgw.server.parts.phone_parts` and the command ``replica-config`` import this package.
"""

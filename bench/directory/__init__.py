# SPDX-License-Identifier: MIT
"""How fast people are found, and in how much memory: ldapgw, and OpenLDAP's slapd beside it, on loopback.

`people` makes the contacts, `asking` the searches, `load` puts them on a server and measures; `servers` starts the
servers; ``scripts/bench directory`` prints the tables.
"""

# SPDX-License-Identifier: MIT
"""Hostile load on loopback: what phones notice of it, on ldapgw and on OpenLDAP's slapd beside it.

`servers` starts either; `attacks` are run by a process of its own; `phone` is somebody who just wants to search;
`runs` puts them together; ``scripts/bench hostile`` prints the table.
"""

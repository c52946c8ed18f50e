# SPDX-License-Identifier: MIT
"""Persistent state in a database (SQLite or PostgreSQL): accounts with their grants, contacts, phones, sign-ins.

The modules consist of plain functions on a connection.  `ldapgw.store.database.Database` begins and ends all
transactions; `ldapgw.store.worker.Store` runs them on other threads.

Most frozen dataclasses represent rows.  The comments of the columns (`ldapgw.store.tables`) document the fields, and
null stands for the default of a field.  All times, such as the parameter `now`, are seconds since the epoch.
"""

# SPDX-License-Identifier: MIT
"""What we remember: accounts with their grants, contacts, phones, sign-ins.

Plain functions on a connection.  `database.Database` opens and closes the transactions and runs them off the reactor's
thread; nothing else commits.
"""

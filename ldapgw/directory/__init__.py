# SPDX-License-Identifier: MIT
"""The directory: LDAP entries made of contacts, what each viewer may see of them, and the search that finds them.

A pure function of values: no Twisted, no ldaptor, no SQL, no clock.  The public door is `ldapgw.directory.search`.
"""

# SPDX-License-Identifier: MIT
"""The directory: LDAP entries made of contacts, what each viewer may see of them, and the search that finds them.

The modules of this package compute with values only: they use no Twisted, ldaptor, SQL or clock.  Other packages search
by `ldapgw.directory.search`.
"""

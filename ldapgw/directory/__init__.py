# SPDX-License-Identifier: MIT
"""The directory: the LDAP entries of contacts, the part that each viewer may see, and the search that finds entries.

The modules of this package only compute with values, and use no Twisted, ldaptor, SQL or clock.  Other packages search
by `ldapgw.directory.search`.
"""

# SPDX-License-Identifier: MIT
"""Why a phone finds what it finds: the query as it is understood, the matches with their reasons, and the misses.

Pure, and told in plain sentences for somebody on the telephone with a user.  Its public door is
`ldapgw.phones.explain.explain.explain`; it asks the directory through the search that phones use.
"""

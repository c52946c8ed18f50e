# SPDX-License-Identifier: MIT
"""The pure core: what a phone sees, and finding it.

A function of values: no Twisted, no ldaptor, no SQL, no clock.  Its public door is `ldapgw.directory.search.search`.
"""

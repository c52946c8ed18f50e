# SPDX-License-Identifier: MIT
"""Explains why a phone finds some contacts and misses others, in plain sentences for somebody who supports a user.

Pure.  The entry point is `ldapgw.phones.explain.explain.explain`, which searches the directory as phones do.
"""

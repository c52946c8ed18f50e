# SPDX-License-Identifier: MIT
"""Explanations of why a phone finds some contacts and misses others, in plain sentences for people who support users.

The functions are pure: they do no I/O.  The entry point is `ldapgw.phones.explain.explain.explain`, which searches the
directory as phones do.
"""

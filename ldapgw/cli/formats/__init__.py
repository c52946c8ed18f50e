# SPDX-License-Identifier: MIT
"""Contacts as files that other programs read: LDIF (RFC 2849), vCard (RFC 6350) and CSV (RFC 4180).

Pure generators: contacts go in one by one, pieces of the file come out, and nothing is held in between.
"""

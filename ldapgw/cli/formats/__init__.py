# SPDX-License-Identifier: MIT
"""File formats for export: LDIF (RFC 2849), vCard (RFC 6350) and CSV (RFC 4180).

The functions are pure and turn one contact after another into a piece of the file, so that memory use stays constant.
"""

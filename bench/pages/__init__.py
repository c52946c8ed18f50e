# SPDX-License-Identifier: MIT
"""How heavy the pages are, and how soon their first octet comes.

`visitor` is a browser that signs in and weighs; ``scripts/bench pages`` prints the table.
"""

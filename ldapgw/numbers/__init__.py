# SPDX-License-Identifier: MIT
"""Telephone numbers: parsing, comparing and formatting them.

Start with `phone_number`, which says when two numbers are the same.  `dial_string` removes the text that people and
phones write around a number; `numbering_plan` is the only module that imports `phonenumbers`.
"""

# SPDX-License-Identifier: MIT
"""The search filters and attributes in the settings of phones.

Every filter is shorter than 99 characters: a longer filter does not fit into the field of some Yealink firmware.  The
number attributes are those that `ldapgw.directory.entry` fills.
"""

from __future__ import annotations

from collections.abc import Iterable

NAME_ATTRIBUTES = ("cn", "sn", "o")
NUMBER_ATTRIBUTES = ("telephoneNumber", "mobile", "homePhone")


def name_filter(placeholder: str) -> str:
    """Return a filter for people and companies whose name begins with the input; the tenant's own entry does not match.

    :param placeholder: the text that the phone replaces by the input, with the stars that the phone does not add.
    """
    return f"(&(objectClass=person){any_of(*name_terms(placeholder))})"


def number_filter(placeholder: str) -> str:
    """Return a filter for contacts with a number like the input.

    :param placeholder: as for `name_filter`.
    """
    return any_of(*number_terms(placeholder))


def number_attributes(*, per_number: bool) -> tuple[str, ...]:
    """Return the number attributes that a phone requests; an entry for one number has the first attribute only."""
    return NUMBER_ATTRIBUTES[:1] if per_number else NUMBER_ATTRIBUTES


def name_terms(placeholder: str) -> Iterable[str]:
    """Return the terms of `name_filter` that have the input."""
    return (f"({attribute}={placeholder})" for attribute in NAME_ATTRIBUTES)


def number_terms(placeholder: str) -> Iterable[str]:
    """Return the terms of `number_filter`."""
    return (f"({attribute}={placeholder})" for attribute in NUMBER_ATTRIBUTES)


def any_of(*terms: str) -> str:
    """Return an OR of terms (RFC 4515)."""
    return f"(|{''.join(terms)})"

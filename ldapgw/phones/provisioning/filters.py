# SPDX-License-Identifier: MIT
"""The search filters and attributes in the settings of phones.

Every filter is shorter than 99 characters: a longer filter does not fit into the field of some Yealink firmware.  The
number attributes are those that `ldapgw.directory.entry` fills.
"""

from __future__ import annotations

NAME_ATTRIBUTES = ("cn", "sn", "o")
NUMBER_ATTRIBUTES = ("telephoneNumber", "mobile", "homePhone")


def name_filter(placeholder: str) -> str:
    """Return a filter for people and companies whose name begins with the input; the tenant's own entry does not match.

    :param placeholder: the text that the phone replaces by the input, with the stars that the phone does not add.
    """
    return f"(&(objectClass=person){_any(NAME_ATTRIBUTES, placeholder)})"


def number_filter(placeholder: str) -> str:
    """Return a filter for contacts with a number like the input.

    :param placeholder: as for `name_filter`.
    """
    return _any(NUMBER_ATTRIBUTES, placeholder)


def number_attributes(*, per_number: bool) -> tuple[str, ...]:
    """Return the number attributes that a phone requests; an entry for one number has the first attribute only."""
    return NUMBER_ATTRIBUTES[:1] if per_number else NUMBER_ATTRIBUTES


def _any(attributes: tuple[str, ...], value: str) -> str:
    return "(|" + "".join(f"({attribute}={value})" for attribute in attributes) + ")"

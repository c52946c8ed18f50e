# SPDX-License-Identifier: MIT
"""The filters and attributes that phones are given.

Every filter is shorter than 99 characters: more does not fit into the field of some Yealink firmware.  The attributes
of numbers are those that `ldapgw.directory.entry` fills.
"""

from __future__ import annotations

NAME_ATTRIBUTES = ("cn", "sn", "o")
NUMBER_ATTRIBUTES = ("telephoneNumber", "mobile", "homePhone")


def name_filter(placeholder: str) -> str:
    """People and companies whose name begins with what is typed; not the tenant, which is an entry of its own.

    :param placeholder: what the phone replaces by the input, with the stars that it does not add itself.
    """
    return f"(&(objectClass=person){_any(NAME_ATTRIBUTES, placeholder)})"


def number_filter(placeholder: str) -> str:
    """Any of a contact's numbers."""
    return _any(NUMBER_ATTRIBUTES, placeholder)


def number_attributes(*, per_number: bool) -> tuple[str, ...]:
    """What a phone asks for: where each number has an entry, it is always in the same place."""
    return NUMBER_ATTRIBUTES[:1] if per_number else NUMBER_ATTRIBUTES


def _any(attributes: tuple[str, ...], value: str) -> str:
    return "(|" + "".join(f"({attribute}={value})" for attribute in attributes) + ")"

# SPDX-License-Identifier: MIT
"""The search filters and attributes in the settings of phones.

Every filter is shorter than 99 characters: a longer filter does not fit into the field of some Yealink firmware.  The
number attributes are those that `ldapgw.directory.entry` fills.
"""

from __future__ import annotations

from ldapgw.phones.provisioning.settings import NO_PLACEHOLDER, PLACEHOLDERS

NAME_ATTRIBUTES = ("cn", "sn", "o")
NUMBER_ATTRIBUTES = ("telephoneNumber", "mobile", "homePhone")


# For a phone that builds its filters itself, and adds this one.
_ANYBODY = "(objectClass=person)"


def name_filter(placeholder: str) -> str:
    """Return a filter for people and companies whose name begins with the input; the tenant's own entry does not match.

    :param placeholder: the text that the phone replaces by the input, with the stars that the phone does not add.
    """
    return f"(&(objectClass=person){_any_of(NAME_ATTRIBUTES, placeholder)})"


def number_filter(placeholder: str) -> str:
    """Return a filter for contacts with a number like the input.

    :param placeholder: as for `name_filter`.
    """
    return _any_of(NUMBER_ATTRIBUTES, placeholder)


def filters_for(placeholder: str) -> tuple[str, str]:
    """Return the name filter and the number filter for a phone of no known model.

    :param placeholder: one of `ldapgw.phones.provisioning.settings.PLACEHOLDERS`; empty: not known.
    """
    if placeholder == NO_PLACEHOLDER:
        return _ANYBODY, _ANYBODY
    text = placeholder or PLACEHOLDERS[0]
    # The name filter has the star if the phone does not add it; two stars do no harm.  In a number filter, the star
    # would make everybody of a caller without a number.
    name = text if text.startswith("%") and text != "%s" else f"{text}*"
    return name_filter(name), number_filter(text.removesuffix("*"))


def number_attributes(*, per_number: bool) -> tuple[str, ...]:
    """Return the number attributes that a phone requests; an entry for one number has the first attribute only."""
    return NUMBER_ATTRIBUTES[:1] if per_number else NUMBER_ATTRIBUTES


def _any_of(attributes: tuple[str, ...], placeholder: str) -> str:
    """Return an OR of a term for each attribute (RFC 4515)."""
    terms = (f"({attribute}={placeholder})" for attribute in attributes)
    return f"(|{''.join(terms)})"

# SPDX-License-Identifier: MIT
"""What the directory has to know of a tenant: where its tree hangs, and how its numbers and names are read."""

from __future__ import annotations

from dataclasses import dataclass

from ldapgw.directory.dn import Dn
from ldapgw.number import NumberFormat


@dataclass(frozen=True, slots=True)
class NamingContext:
    """A tenant as the directory sees it (RFC 4512 5.1 calls the root of a tree a naming context).

    :ivar name: the tenant's name, by which a viewer's access is granted.
    :ivar region: the country of numbers without one (ISO 3166-1).
    :ivar outside_line: digits dialled for an outside line.
    :ivar lenient: matching as a person expects it; otherwise as RFC 4517 says.
    """

    name: str
    title: str
    base: Dn
    region: str
    outside_line: str
    number_format: NumberFormat
    lenient: bool


# The root DSE and the subschema belong to no tenant, and are compared as the RFCs say.
ROOT = NamingContext("", "", Dn(), "", "", NumberFormat.E164, lenient=False)


def phone_dn(name: str, base: Dn) -> Dn:
    """The name that a phone binds with."""
    return base.child("ou", "phones").child("cn", name)

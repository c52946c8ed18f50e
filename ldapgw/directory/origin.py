# SPDX-License-Identifier: MIT
"""Where an entry comes from: what its operational attributes (RFC 4512 3.4) are made of when somebody asks for them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

SUBSCHEMA_DN = "cn=subschema"

Attributes = Mapping[str, tuple[bytes, ...]]


class Origin(Protocol):
    """Anything that knows an entry's operational attributes."""

    @property
    def suffix(self) -> bytes:
        """What its entries' names end with, from the comma on; empty: they are whole."""

    @property
    def path(self) -> str:
        """What makes an entry's UUID its own besides its RDN; the same for ever; empty: there is one entry."""

    @property
    def rank(self) -> int:
        """Of two entries for the same person, the one with the lower rank counts."""

    def operational(self, dn: str, updated: float) -> Attributes:
        """The operational attributes by name.

        :param updated: seconds since the epoch of the last change; 0 where unknown.
        """


@dataclass(frozen=True, slots=True)
class Place:
    """The origin of contacts: the entry below which they all stand.

    :ivar dn: the name of that entry.
    """

    dn: str
    path: str
    rank: int = 0
    suffix: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Encode the name once."""
        object.__setattr__(self, "suffix", f",{self.dn}".encode("utf-8", "replace"))

    def rdn(self, dn: str) -> str:
        """The first part of an entry's name."""
        return dn.removesuffix("," + self.dn)

    def operational(self, dn: str, updated: float) -> Attributes:
        """Google tells the last change alone: it stands for the creation too."""
        found = structure(dn, "inetOrgPerson", f"{self.path}/{self.rdn(dn)}", subordinates=False)
        if updated > 0:
            moment = (f"{datetime.fromtimestamp(updated, UTC):%Y%m%d%H%M%SZ}".encode(),)
            found |= {"createTimestamp": moment, "modifyTimestamp": moment}
        return found


@dataclass(frozen=True, slots=True)
class Fixed:
    """The origin of an entry that there is one of."""

    attributes: Attributes
    suffix: bytes = b""
    path: str = ""
    rank: int = 2

    def operational(self, dn: str, updated: float) -> Attributes:  # noqa: ARG002 - an Origin is asked with both
        """As given."""
        return self.attributes


def structure(dn: str, structural: str, path: str, *, subordinates: bool) -> dict[str, tuple[bytes, ...]]:
    """What every entry of a tenant's tree has (RFC 4512 3.4, RFC 4530, RFC 5020)."""
    return {
        "structuralObjectClass": (structural.encode(),),
        "subschemaSubentry": (SUBSCHEMA_DN.encode(),),
        "hasSubordinates": (b"TRUE" if subordinates else b"FALSE",),
        "entryUUID": (str(uuid.uuid5(uuid.NAMESPACE_OID, f"ldapgw/{path}")).encode(),),
        "entryDN": (dn.encode(),),
    }

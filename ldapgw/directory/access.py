# SPDX-License-Identifier: MIT
"""Access to the directory: the viewers who search it, and what they may see.

`Viewer` and `Access` are named tuples because these are compared and hashed fast: each search looks up cached results
by its viewer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ldapgw.directory.number_formatter import NumberFormatter


class Access(NamedTuple):
    """Access to one tenant: to its shared books, its Workspace directory, and the viewer's own book.

    The own book also says to which groups of accounts the viewer belongs.

    :ivar tenant: the tenant's name.
    :ivar book: the key of the viewer's own book; empty: none.
    """

    tenant: str
    book: str = ""


class ReplicaAccess(NamedTuple):
    """What a replica of a tenant holds.

    :ivar tenant: the tenant's name.
    :ivar private: whether it holds all books; otherwise those that are shared with everybody, and the directory.
    :ivar extra_values: whether entries have further values for servers that match literally: numbers in other formats,
        and folded names.
    """

    tenant: str
    private: bool = False
    extra_values: bool = True


class Viewer(NamedTuple):
    """A login or an anonymous client, with everything that it may see.

    :ivar login: the phone's DN, for "Who am I?" (RFC 4532); empty: anonymous.
    :ivar per_number: a contact is shown as one entry for each of its numbers.
    :ivar number_formatter: gives numbers the viewer's format; None: numbers are in the tenant's format.
    :ivar area_code: the area code of the phone's site; empty: the tenant's.
    :ivar replica: what the login replicates, by content synchronization (RFC 4533) alone; None: it is no replica's.
    """

    login: str = ""
    access: tuple[Access, ...] = ()
    per_number: bool = False
    number_formatter: NumberFormatter | None = None
    replica: ReplicaAccess | None = None
    area_code: str = ""

    @property
    def tenant(self) -> str:
        """The tenant that the viewer belongs to; empty: none, or an anonymous client that sees several."""
        tenants = (self.replica,) if self.replica is not None else self.access
        return tenants[0].tenant if len(tenants) == 1 else ""


# Sees the root DSE and the subschema only.
NOBODY = Viewer()


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A client for whose searches caller-ID books were left out.

    :ivar login: the phone's DN; empty: clients of a network that are not bound.
    :ivar tenants: the names of the tenants whose books the client may see.
    :ivar address: of the last of these searches.
    :ivar count: searches; a filter with several numbers is one.
    :ivar last: when the last one was, in the clock's seconds.
    """

    login: str
    tenants: tuple[str, ...]
    address: str
    count: int
    last: float

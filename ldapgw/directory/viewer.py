# SPDX-License-Identifier: MIT
"""Who is looking: what a login may see of the directory.

Named tuples, which are compared and hashed fast: what was worked out for a viewer is found by it at each search.
"""

from __future__ import annotations

from typing import NamedTuple


class Access(NamedTuple):
    """Access to one tenant: its shared books, its directory, and one book of one's own.

    :ivar tenant: the tenant's name.
    :ivar book: the key of the viewer's own book there; empty: none.
    """

    tenant: str
    book: str = ""


class Viewer(NamedTuple):
    """A login, or somebody without one.

    :ivar login: the DN of the phone, for "Who am I?" (RFC 4532); empty: anonymous.
    :ivar per_number: contacts are shown as one entry for each number.
    """

    login: str = ""
    access: tuple[Access, ...] = ()
    per_number: bool = False


# Sees the root DSE and the subschema alone.
NOBODY = Viewer()

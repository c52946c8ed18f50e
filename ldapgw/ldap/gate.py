# SPDX-License-Identifier: MIT
"""What the wire needs of the rest of the program, given by the composition root."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ldapgw.directory.dit import Dit
from ldapgw.directory.viewer import Viewer
from ldapgw.errors import ResultCode

# Told of a search that is done: the login (a DN; empty: nobody), the client's address, the LDAPMessage, how many
# entries were returned, the result code, and for how many seconds it went on.
Observer = Callable[[str, str, bytes, int, ResultCode, float], None]


@dataclass(frozen=True, slots=True)
class Gate:
    """The doors to what is served and to who may see it.

    :ivar dit: everything served, as it is now.
    :ivar authenticate: bind name (a DN or a bare name), password, client address → who that is; None: wrong.  A wrong
        one may be asked for twice.
    :ivar anonymous: client address → what may be seen from there without a login.
    :ivar cookie_key: random octets of this process, for the cookies of paged searches; nothing shows them.
    :ivar observers: told of each search that is done.
    """

    dit: Callable[[], Dit]
    authenticate: Callable[[str, bytes, str], Viewer | None]
    anonymous: Callable[[str], Viewer]
    cookie_key: bytes = field(repr=False)
    observers: tuple[Observer, ...] = ()

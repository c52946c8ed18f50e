# SPDX-License-Identifier: MIT
"""The paged results control (RFC 2696): its value, and the cookie.

The server remembers nothing between two pages: the cookie says behind which place the next one begins.  It is sealed
with a key that lives as long as the process, together with the search and the login that it belongs to; so a client can
neither make one nor use it for anything else, and one from before a restart is refused.
"""

from __future__ import annotations

import hmac
from collections.abc import Hashable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from ldapgw.ber import SEQUENCE, Reader, integer, octets, tlv
from ldapgw.errors import DirectoryError, ProtocolViolation, ResultCode
from ldapgw.ldap.messages import Control

PAGED_RESULTS = "1.2.840.113556.1.4.319"

# Octets of the seal: half of SHA-256, which nobody guesses.
SEAL: Final = 16


@dataclass(frozen=True, slots=True)
class Page:
    """A wish for one page.

    :ivar size: entries; 0 with a cookie: no more pages are wanted.
    :ivar cookie: as the page before gave it; empty: the first page.
    """

    size: int
    cookie: bytes = field(repr=False)


def read_page(control: Control) -> Page:
    """The wish that a request control holds.

    :raises ProtocolViolation: when its value is not what the RFC says.
    """
    value = Reader.over(control.value or b"")
    content = value.enter(SEQUENCE, "pagedResults")
    value.finish("pagedResults")
    page = Page(content.integer("size"), content.octets("cookie"))
    content.finish("pagedResults")
    if page.size < 0:
        raise ProtocolViolation("size: negative")
    return page


def page_response(cookie: bytes) -> Control:
    """What goes with a page; 0 is the estimate of somebody who does not know how many there are."""
    return Control(PAGED_RESULTS, value=tlv(SEQUENCE, integer(0) + octets(cookie)))


class Cookies:
    """Makes and opens the cookies of one search of one login.

    :param key: of the process; nobody else has it.
    :param search: everything that has to be the same at the next page.
    """

    __slots__ = ("_key", "_search")

    def __init__(self, key: bytes, search: Hashable) -> None:
        self._key = key
        self._search = sha256(repr(search).encode("utf-8", "surrogatepass")).digest()

    def seal(self, place: bytes) -> bytes:
        """The cookie that stands for a place."""
        return self._seal(place) + place

    def open(self, cookie: bytes) -> bytes:
        """The place that a cookie stands for.

        :raises DirectoryError: unwillingToPerform, when it is not one of this search's.
        """
        place = cookie[SEAL:]
        if not hmac.compare_digest(cookie[:SEAL], self._seal(place)):
            raise DirectoryError(ResultCode.UNWILLING_TO_PERFORM, "the cookie does not belong to this search")
        return place

    def _seal(self, place: bytes) -> bytes:
        return hmac.digest(self._key, self._search + place, "sha256")[:SEAL]

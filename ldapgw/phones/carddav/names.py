# SPDX-License-Identifier: MIT
"""The names of CardDAV's XML elements, in the notation ``{namespace}name``, and the refusals of requests."""

from __future__ import annotations

from typing import Final

_DAV, _CARDDAV, _CALENDARSERVER = "{DAV:}", "{urn:ietf:params:xml:ns:carddav}", "{http://calendarserver.org/ns/}"

# The prefixes of the namespaces in answers, whose root element declares these prefixes.
PREFIXES: Final = {_DAV: "D:", _CARDDAV: "C:", _CALENDARSERVER: "CS:"}


def dav(name: str) -> str:
    """Return the name of an element of WebDAV (RFC 4918)."""
    return _DAV + name


def carddav(name: str) -> str:
    """Return the name of an element of CardDAV (RFC 6352)."""
    return _CARDDAV + name


ADDRESS_DATA: Final = carddav("address-data")
ETAG: Final = dav("getetag")
SYNC_TOKEN: Final = dav("sync-token")
# The property by which Apple's clients saw, before RFC 6578, that a collection had changed.
CTAG: Final = _CALENDARSERVER + "getctag"


class DavRefusal(Exception):
    """Raised when a request cannot be answered.

    :ivar status: the HTTP status of the answer.
    :ivar condition: the name of the precondition that the request violates (RFC 4918 16); empty if the request is no
        well-formed XML or not a request that its method allows.
    """

    def __init__(self, status: int, condition: str = "") -> None:
        super().__init__()
        self.status = status
        self.condition = condition

# SPDX-License-Identifier: MIT
"""The shortcut: a phone's search answered in one go, where that can be.

Nearly all that phones send is a search without controls, on a session that does nothing else, and what it finds fits
into one answer.  All of it but the values in its filter was in the one before.  So what was read is kept by its octets,
within bounds, and what is left to be done is to look up, to check and to join.  The answer is that of the long way,
octet for octet; whatever is not plain takes the long way, and so does every error.
"""

from __future__ import annotations

from typing import Final, Generic, NamedTuple, TypeVar

from ldapgw.directory.dit import Dit
from ldapgw.directory.filters import Filter, Scope, SearchRequest
from ldapgw.directory.glance import glance
from ldapgw.directory.scope import Region, regions
from ldapgw.directory.selection import Selection, select
from ldapgw.directory.viewer import Viewer
from ldapgw.errors import DirectoryError, ProtocolViolation, ResultCode
from ldapgw.ldap.decode import decode
from ldapgw.ldap.encode import encode, message_head
from ldapgw.ldap.filter import read_quickly
from ldapgw.ldap.messages import Operation, Reply, Result

# Requests of different phones that are kept, and filters; none of more octets than that.
_MOST: Final = 512
_LONGEST: Final = 1024

_INTEGER, _SEQUENCE, _SEARCH = 0x02, 0x30, 0x63

Value = TypeVar("Value")


class _Memory(Generic[Value]):
    """What was made of some octets, while there is room."""

    __slots__ = ("_kept", "get")

    def __init__(self) -> None:
        self._kept: dict[bytes, Value] = {}
        self.get = self._kept.get

    def keep(self, octets: bytes, value: Value) -> None:
        if len(self._kept) >= _MOST:
            self._kept.clear()
        if len(octets) <= _LONGEST:
            self._kept[octets] = value


class _Head(NamedTuple):
    """What stands before the filter."""

    base: str
    scope: Scope
    size_limit: int


class Shortcut:
    """Answers searches at once.

    Mutable: what it keeps of former requests.

    :param size_limit: most entries of an answer.
    """

    def __init__(self, size_limit: int) -> None:
        self._size_limit = size_limit
        self._heads: _Memory[_Head] = _Memory()
        self._filters: _Memory[Filter] = _Memory()
        self._selections: _Memory[Selection] = _Memory()
        self._views: dict[tuple[int, int], tuple[Dit, Viewer, _Head, Region | None]] = {}

    def answer(self, dit: Dit, viewer: Viewer, octets: bytes) -> bytes | None:
        """The whole answer to what came in; None: it has to take the long way.

        :param octets: all that came; perhaps one LDAPMessage, perhaps something else.
        """
        try:
            return self._answer(dit, viewer, octets)
        except (IndexError, ProtocolViolation, DirectoryError):
            return None

    def _answer(self, dit: Dit, viewer: Viewer, octets: bytes) -> bytes | None:
        cut = _cut(octets)
        if cut is None:
            return None
        message_id, start, middle, behind = cut
        before, sought, after = octets[start:middle], octets[middle:behind], octets[behind:]
        head, filter_, selection = self._heads.get(before), self._filters.get(sought), self._selections.get(after)
        if head is None or selection is None:
            request = _read(octets)
            if request is None:
                return None
            head, filter_, selection = self._keep(request, before, sought, after)
        elif filter_ is None:
            filter_ = read_quickly(octets, middle, behind)
            if filter_ is None:
                return None
            self._filters.keep(sought, filter_)
        region = self._region(dit, viewer, head)
        seen = glance(region, filter_, head.size_limit) if region else None
        if seen is None:
            return None
        pieces: list[bytes] = []
        for shelf, positions in seen.rows:
            for response in shelf.encoded(positions, selection):
                pieces += (message_head(3 + len(response)), message_id, response)
        first, last = _MORE if seen.more else _DONE
        pieces += (first, message_id, last)
        return b"".join(pieces)

    def _keep(
        self, request: SearchRequest, first: bytes, sought: bytes, last: bytes
    ) -> tuple[_Head, Filter, Selection]:
        limit = min(request.size_limit or self._size_limit, self._size_limit)
        head = _Head(request.base, request.scope, limit)
        selection = select(request.attributes)
        self._heads.keep(first, head)
        self._filters.keep(sought, request.filter)
        self._selections.keep(last, selection)
        return head, request.filter, selection

    def _region(self, dit: Dit, viewer: Viewer, head: _Head) -> Region | None:
        """What the search covers, if that is of one piece."""
        key = id(viewer), id(head)
        view = self._views.get(key)
        if view is None or view[0] is not dit:
            found = regions(dit, viewer, head.base, head.scope)
            # What the key is made of is kept with it, so that nothing else can have the same.
            view = dit, viewer, head, found[0] if len(found) == 1 else None
            if len(self._views) >= _MOST:
                self._views.clear()
            self._views[key] = view
        return view[3]


def _cut(octets: bytes) -> tuple[bytes, int, int, int] | None:
    """The message id of what may be a search, and where its base, its filter, and what is behind that begin.

    Nothing is checked but what tells the parts (RFC 4511 4.1.1, 4.5.1): what comes for the first time is read strictly.

    :raises IndexError: when it is cut off.
    """
    size, start = octets[1], 2
    if size >= 0x80:
        if size != 0x81:
            return None
        size, start = octets[2], 3
    if octets[0] != _SEQUENCE or octets[start] != _INTEGER or octets[start + 1] != 1 or start + size != len(octets):
        return None
    message_id = octets[start : start + 3]
    start += 3
    if octets[start] != _SEARCH or not 0 < message_id[2] < 0x80:
        return None
    start += 2 if octets[start + 1] < 0x80 else 3
    middle = start + 8 + octets[start + 1]  # the base, and two ENUMERATED
    middle += 2 + octets[middle + 1]
    middle += 5 + octets[middle + 1]  # an INTEGER, and a BOOLEAN
    size = octets[middle + 1]
    behind = middle + 2 + size if size < 0x80 else middle + 3 + octets[middle + 2]
    return message_id, start, middle, behind


def _read(octets: bytes) -> SearchRequest | None:
    """The request, read strictly; None where the long way has more to say."""
    message = decode(octets)
    request = message.request
    if message.controls or not isinstance(request, SearchRequest) or request.types_only:
        return None
    return None if request.scope is Scope.BASE_OBJECT else request


def _around(result: Result) -> tuple[bytes, bytes]:
    """What stands before and behind the message id of a SearchResultDone."""
    whole = encode(Reply(1, Operation.SEARCH, result))
    return whole[:2], whole[5:]


_DONE: Final = _around(Result())
_MORE: Final = _around(Result(ResultCode.SIZE_LIMIT_EXCEEDED, "there are more entries"))

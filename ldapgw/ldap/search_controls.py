# SPDX-License-Identifier: MIT
"""A search with controls: which of the entries are sent, in which order, and what is said about that behind them.

The rules are RFC 2891's for sorting, RFC 2696's for pages and draft-ietf-ldapext-ldapv3-vlv-09's for windows.  Where
the entries cannot be sorted, a critical control fails the search; if none is critical the entries come as without them.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Self

from ldapgw.directory.access import ROOT, Viewer
from ldapgw.directory.dit import Dit
from ldapgw.directory.entry import Entry
from ldapgw.directory.filter import SearchRequest
from ldapgw.directory.search import Match, ResultBatch, limited, matches
from ldapgw.directory.segment import Segment
from ldapgw.directory.sort import OffsetOutOfRange, Ranking, Sorter, Unsortable, collect
from ldapgw.errors import DirectoryError, ResultCode
from ldapgw.ldap.controls import (
    Cookies,
    PagedResults,
    ServerSideSort,
    VirtualListView,
    page_response,
    sort_response,
    view_response,
)
from ldapgw.ldap.messages import Control, Result

# What the place in a cookie is a place in: the walk, or the sorted list.
_UNSORTED, _SORTED = b"w", b"s"

# How a search ends whose entries were sent as the controls say.
_SENT = frozenset((ResultCode.SUCCESS, ResultCode.SIZE_LIMIT_EXCEEDED, ResultCode.TIME_LIMIT_EXCEEDED))
# How one ends that the controls made fail.
_FAILED = frozenset((ResultCode.UNAVAILABLE_CRITICAL_EXTENSION, ResultCode.VIRTUAL_LIST_VIEW_ERROR))
# What sorting can fail with that a list view can fail with too (section 6.2 of the draft).
_VIEW_CODES = frozenset((ResultCode.ADMIN_LIMIT_EXCEEDED, ResultCode.INAPPROPRIATE_MATCHING))


@dataclass(frozen=True, slots=True)
class RequestedControls:
    """The controls of a search that are to be honoured."""

    sort: ServerSideSort | None = None
    page: PagedResults | None = None
    view: VirtualListView | None = None

    @classmethod
    def from_values(cls, values: Iterable[object]) -> Self:
        """Those among the values of a request's controls."""
        found = {type(value): value for value in values}
        sort, page, view = found.get(ServerSideSort), found.get(PagedResults), found.get(VirtualListView)
        return cls(
            sort if isinstance(sort, ServerSideSort) else None,
            page if isinstance(page, PagedResults) else None,
            view if isinstance(view, VirtualListView) else None,
        )

    def __bool__(self) -> bool:
        return bool(self.sort or self.page or self.view)


class ControlledSearch:
    """One search with its wishes.

    :param request: its size limit is the client's own.
    :param size_limit: the one to keep; more than 0.
    :param key: seals cookies.
    :raises DirectoryError: protocolError, when the wishes do not go together.
    """

    def __init__(
        self,
        dit: Dit,
        viewer: Viewer,
        request: SearchRequest,
        requested: RequestedControls,
        *,
        size_limit: int,
        key: bytes,
    ) -> None:
        if requested.page and requested.view:
            # RFC 4511 4.1.11: a combination without a meaning; the draft says in its section 9 why it has none.
            raise DirectoryError(ResultCode.PROTOCOL_ERROR, "pages and list views do not go together")
        self._dit = dit
        self._viewer = viewer
        self._request = request
        self._requested = requested
        self._size_limit = size_limit
        keys = requested.sort.keys if requested.sort else ()
        search = (request.base, request.scope, request.filter, request.attributes, request.types_only, keys)
        self._cookies = Cookies(key, (viewer, search))
        self._sent = 0
        self._is_sorted = False
        self._sort_error: Unsortable | None = None
        self._view_response: Control | None = None
        self._next_page: bytes | None = None

    def batches(self) -> Iterator[ResultBatch | None]:
        """The entries to send, and breaths.

        :raises DirectoryError: as the search does; when a wish cannot be fulfilled and has to be; behind the last entry
            when there are more.
        """
        for entry in self._entries():
            if entry is None:
                yield None
            else:
                self._sent += 1
                yield ResultBatch(Segment((entry,)), (0,), "", ROOT)

    def response_controls(self, result: Result) -> tuple[Control, ...]:
        """What is said about the wishes behind the entries.

        :param result: how the search ended.
        """
        if result.code not in _SENT | _FAILED:
            return ()
        found = self._sorting(result)
        if self._view_response is not None:
            found.append(self._view_response)
        if self._next_page is not None and result.code is ResultCode.SUCCESS:
            found.append(page_response(self._next_page))
        return tuple(found)

    def _sorting(self, result: Result) -> list[Control]:
        """RFC 2891 2: nothing is said where nothing was sorted."""
        if self._requested.sort is None:
            return []
        if self._sort_error is not None:
            return [sort_response(self._sort_error.code, self._sort_error.attribute)]
        if result.code is ResultCode.TIME_LIMIT_EXCEEDED and not self._is_sorted:
            return [sort_response(ResultCode.TIME_LIMIT_EXCEEDED)]
        return [sort_response(ResultCode.SUCCESS)] if self._sent else []

    def _entries(self) -> Iterator[Entry | None]:
        page = self._requested.page
        if self._requested.view is not None:
            return self._window(self._requested.view)
        # RFC 2696 3: where a page may hold as many entries as the client wants in all, there are no pages.
        if page is not None and (page.cookie or not 0 < self._request.size_limit <= page.size):
            return self._one_page(page)
        return self._limited(self._placed(b""))

    def _limited(self, placed: Iterable[tuple[bytes, Entry] | None]) -> Iterator[Entry | None]:
        return limited((one and one[1] for one in placed), self._size_limit)

    def _one_page(self, page: PagedResults) -> Iterator[Entry | None]:
        """A page counts as an answer of its own: it holds what the size limit allows, and others may follow."""
        self._next_page = b""
        if page.cookie and page.size == 0:
            return  # RFC 2696 3: the client wants no more pages; we hold nothing that could be let go of
        after = self._cookies.open(page.cookie) if page.cookie else b""
        size = min(page.size or self._size_limit, self._size_limit)
        count, last = 0, b""
        for one in self._placed(after):
            if one is None:
                yield None
            elif count == size:
                self._next_page = self._cookies.seal(last)
                return
            else:
                count += 1
                last, entry = one
                yield entry

    def _placed(self, after: bytes) -> Iterator[tuple[bytes, Entry] | None]:
        """The entries behind a place, each with its own; sorted if that is wished and can be."""
        kind, place = after[:1], after[1:]
        ranking = yield from self._ranking(place if kind == _SORTED else b"")
        if kind == (_SORTED if ranking is None else _UNSORTED):
            # One page was sorted, this one cannot be: too many entries have come, or enough have gone.
            raise DirectoryError(ResultCode.UNWILLING_TO_PERFORM, "the pages before were in another order")
        if ranking is not None:
            for ranked in ranking:
                yield _SORTED + ranked.rank, ranked.entry
        else:
            for match in self._matches(place.decode("utf-8", "surrogatepass")):
                yield match and (_UNSORTED + match.key.encode("utf-8", "surrogatepass"), match.entry)

    def _ranking(self, after: bytes = b"") -> Generator[None, None, Ranking | None]:
        """The entries sorted; None: that is not wished, or cannot be and does not have to be."""
        sort = self._requested.sort
        if sort is None:
            return None
        try:
            ranking = yield from collect(self._matches(), Sorter(sort.keys), after)
        except Unsortable as trouble:
            self._sort_error = trouble
            if sort.critical:
                raise DirectoryError(
                    ResultCode.UNAVAILABLE_CRITICAL_EXTENSION, "the entries cannot be sorted that way"
                ) from None
            return None
        self._is_sorted = True
        return ranking

    def _matches(self, after: str = "") -> Iterator[Match | None]:
        return matches(self._dit, self._viewer, self._request, after)

    def _window(self, view: VirtualListView) -> Iterator[Entry | None]:
        sort = self._requested.sort
        if sort is None:
            raise self._no_view(ResultCode.SORT_CONTROL_MISSING)
        if view.context_id:
            raise self._no_view(ResultCode.PROTOCOL_ERROR)
        ranking = yield from self._ranking()
        if ranking is None:
            if view.critical and self._sort_error is not None:
                known = self._sort_error.code in _VIEW_CODES
                raise self._no_view(self._sort_error.code if known else ResultCode.UNWILLING_TO_PERFORM)
            yield from self._limited(self._placed(b""))
            return
        try:
            position = view.window.position(ranking, Sorter(sort.keys))
        except (OffsetOutOfRange, Unsortable) as trouble:
            raise self._no_view(trouble.code) from None
        count = len(ranking)
        self._view_response = view_response(ResultCode.SUCCESS, position, count)
        window = ranking.slice(*view.window.edges(position, count))
        yield from limited((one and one.entry for one in window), self._size_limit)

    def _no_view(self, code: ResultCode) -> DirectoryError:
        """The search fails because of its list view (section 6.2.1 of the draft)."""
        self._view_response = view_response(code)
        return DirectoryError(ResultCode.VIRTUAL_LIST_VIEW_ERROR, "the list view cannot be given")

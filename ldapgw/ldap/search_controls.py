# SPDX-License-Identifier: MIT
"""A search with controls: sorted (RFC 2891), in pages (RFC 2696), or as a virtual list view.

Virtual list views follow draft-ietf-ldapext-ldapv3-vlv-09 ("the draft").  A `ControlledSearch` selects and orders the
entries to send, and makes the response controls of the SearchResultDone.  If the entries cannot be sorted, a search
with a critical control fails, and any other search sends the entries as if there were no controls.

Another package can add an `AnsweringControl` to the server, and answer the searches that have the control.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol, Self

from ldapgw.directory.access import Viewer
from ldapgw.directory.caller_id import CallerIdBudget
from ldapgw.directory.dit import Dit
from ldapgw.directory.entry import Entry
from ldapgw.directory.filter import SearchRequest
from ldapgw.directory.naming_context import ROOT
from ldapgw.directory.search import limited, matches
from ldapgw.directory.segment import Match, ResultBatch, Segment
from ldapgw.directory.sort import OffsetOutOfRange, Ranking, Sorter, Unsortable, collect
from ldapgw.errors import DirectoryError, ResultCode
from ldapgw.ldap.admission import SearchBudget
from ldapgw.ldap.controls import (
    PageCookies,
    PagedResults,
    ServerSideSort,
    VirtualListView,
    page_response,
    sort_response,
    vlv_response,
)
from ldapgw.ldap.messages import Control, Result
from ldapgw.ldap.search_response import RunningResponse

# The first octet of a resume key says whether the page was sorted.
_UNSORTED, _SORTED = b"w", b"s"

# The result codes of a search whose entries were sent as the controls demand.
_SENT_CODES: Final = frozenset((ResultCode.SUCCESS, ResultCode.SIZE_LIMIT_EXCEEDED, ResultCode.TIME_LIMIT_EXCEEDED))
# The result codes of a search that failed because of its controls.
_FAILED_CODES: Final = frozenset((ResultCode.UNAVAILABLE_CRITICAL_EXTENSION, ResultCode.VIRTUAL_LIST_VIEW_ERROR))
# The sort errors that are also errors of a list view (draft-ietf-ldapext-ldapv3-vlv-09, section 6.2).
_VLV_CODES: Final = frozenset((ResultCode.ADMIN_LIMIT_EXCEEDED, ResultCode.INAPPROPRIATE_MATCHING))


class ControlResponse(RunningResponse, Protocol):
    """The answer that the implementation of a control gives to a search, in place of the directory."""

    def response_controls(self, result: Result) -> tuple[Control, ...]:
        """Return the controls of the SearchResultDone."""


@dataclass(frozen=True, slots=True)
class SearchToAnswer:
    """A search that the implementation of a control may answer.

    :ivar address: the client's normalized address.
    :ivar connection: the number of the client's connection, for the log; 0 if there is no connection.
    :ivar has_other_controls: whether the client also requests sorting, pages or a list view.
    """

    message_id: int
    request: SearchRequest
    viewer: Viewer
    address: str
    connection: int
    has_other_controls: bool


@dataclass(frozen=True, slots=True)
class AnsweringControl:
    """The value of a control whose implementation answers searches itself, in place of the directory.

    :ivar answer: returns the answer to a search, or None to let the directory answer; raises `DirectoryError` if the
        search fails.
    """

    answer: Callable[[SearchToAnswer], ControlResponse | None]


@dataclass(frozen=True, slots=True)
class RequestedControls:
    """The controls that apply to a search; the field of a missing control is None."""

    sort: ServerSideSort | None = None
    page: PagedResults | None = None
    list_view: VirtualListView | None = None
    answering: AnsweringControl | None = None

    @classmethod
    def from_values(cls, values: Iterable[object]) -> Self:
        """Pick the controls from the values that `ldapgw.ldap.controls.check_controls` returns."""
        by_type: dict[type, Any] = {type(value): value for value in values}
        return cls(*map(by_type.get, (ServerSideSort, PagedResults, VirtualListView, AnsweringControl)))

    def __bool__(self) -> bool:
        """Return whether the client requests sorting, pages or a list view."""
        return bool(self.sort or self.page or self.list_view)


class ControlledSearch:
    """A search with controls.

    :param request: the request, with the size limit that the client has set.
    :param size_limit: the limit that applies; more than 0.
    :raises DirectoryError: protocolError, if the controls cannot be combined.
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
        budget: CallerIdBudget,
    ) -> None:
        if requested.page and requested.list_view:
            # Paged results together with a list view have no meaning (draft-ietf-ldapext-ldapv3-vlv-09, section 9).
            # RFC 4511 4.1.11 demands a protocolError for a combination without meaning.
            raise DirectoryError(ResultCode.PROTOCOL_ERROR, "paged results and a list view cannot be combined")
        self._dit = dit
        self._viewer = viewer
        self._request = request
        self._requested = requested
        self._size_limit = size_limit
        # The budget is None if an earlier page of the search has taken the searched numbers from the budget.  All pages
        # search for the same numbers, and each number is taken only once.
        self._budget: SearchBudget | None = SearchBudget(budget)
        keys = requested.sort.keys if requested.sort else ()
        search = (request.base, request.scope, request.filter, request.attributes, request.types_only, keys)
        self._cookies = PageCookies(key, (viewer, search))
        # The cookies of a search whose numbers were already taken from the budget for unknown numbers.
        self._charged_cookies = PageCookies(key, (viewer, search, "charged"))
        self._sent = 0
        self._is_sorted = False
        self._sort_error: Unsortable | None = None
        self._vlv_response: Control | None = None
        self._next_cookie: bytes | None = None

    def batches(self) -> Iterator[ResultBatch | None]:
        """Yield the entries to send, and None after each slice of work.

        :raises DirectoryError: if the search fails, if a critical control cannot be applied, or after the last entry if
            the size limit is exceeded.
        """
        for entry in self._entries():
            if entry is None:
                yield None
            else:
                self._sent += 1
                yield ResultBatch(Segment((entry,)), (0,), b"", ROOT)

    def response_controls(self, result: Result) -> tuple[Control, ...]:
        if result.code not in _SENT_CODES | _FAILED_CODES:
            return ()
        controls = self._sort_responses(result)
        if self._vlv_response is not None:
            controls.append(self._vlv_response)
        if self._next_cookie is not None and result.code is ResultCode.SUCCESS:
            controls.append(page_response(self._next_cookie))
        return tuple(controls)

    def _sort_responses(self, result: Result) -> list[Control]:
        """Return the sort control of the SearchResultDone, in a list.

        The list is empty if the client has not requested sorting.  The list is also empty if no entries were sent,
        unless sorting has failed (RFC 2891 2).
        """
        if self._requested.sort is None:
            return []
        if self._sort_error is not None:
            return [sort_response(self._sort_error.code, self._sort_error.attribute)]
        if result.code is ResultCode.TIME_LIMIT_EXCEEDED and not self._is_sorted:
            return [sort_response(ResultCode.TIME_LIMIT_EXCEEDED)]
        return [sort_response(ResultCode.SUCCESS)] if self._sent else []

    def _entries(self) -> Iterator[Entry | None]:
        page = self._requested.page
        if self._requested.list_view is not None:
            return self._window(self._requested.list_view)
        # RFC 2696 3: if a page has room for all entries that the client wants, the control is ignored.
        if page is not None and (page.cookie or not 0 < self._request.size_limit <= page.size):
            return self._page(page)
        return self._limited(self._keyed_entries(b""))

    def _limited(self, keyed_entries: Iterable[tuple[bytes, Entry] | None]) -> Iterator[Entry | None]:
        for keyed in limited(keyed_entries, self._size_limit):
            yield keyed and keyed[1]

    def _page(self, page: PagedResults) -> Iterator[Entry | None]:
        """Yield the entries of a page; the size limit applies to each page, not to all pages together."""
        self._next_cookie = b""
        if page.cookie and page.size == 0:
            return  # RFC 2696 3: the client wants no more pages; we keep no state that could be released
        after = self._open(page.cookie) if page.cookie else b""
        size = min(page.size or self._size_limit, self._size_limit)
        count, last = 0, b""
        for keyed in self._keyed_entries(after):
            if keyed is None:
                yield None
            elif count == size:
                budget = self._budget
                is_charged = budget is None or (budget.has_taken and not budget.is_refused)
                self._next_cookie = (self._charged_cookies if is_charged else self._cookies).seal(last)
                return
            else:
                count += 1
                last, entry = keyed
                yield entry

    def _open(self, cookie: bytes) -> bytes:
        """Return the resume key in a cookie; if the search was charged already, no page is charged any more.

        :raises DirectoryError: unwillingToPerform, if the cookie does not belong to this search.
        """
        try:
            return self._cookies.open(cookie)
        except DirectoryError:
            after = self._charged_cookies.open(cookie)
        self._budget = None
        return after

    def _keyed_entries(self, after: bytes) -> Iterator[tuple[bytes, Entry] | None]:
        """Yield the entries after a resume key, each with its own resume key.

        The entries are sorted if the client has requested sorting and the sorting is possible.
        """
        order, key = after[:1], after[1:]
        ranking = yield from self._ranking(key if order == _SORTED else b"")
        if order == (_SORTED if ranking is None else _UNSORTED):
            # The limit for sorting was exceeded for the earlier pages, but not for this page, or the other way round.
            raise DirectoryError(ResultCode.UNWILLING_TO_PERFORM, "the earlier pages were in another order")
        if ranking is not None:
            for ranked in ranking:
                yield _SORTED + ranked.rank, ranked.entry
        else:
            for match in self._matches(key):
                yield match and (_UNSORTED + match.key, match.entry)

    def _ranking(self, after: bytes = b"") -> Generator[None, None, Ranking | None]:
        """Return the sorted entries, or None if sorting was not requested or has failed.

        :raises DirectoryError: if sorting has failed and is critical.
        """
        sort = self._requested.sort
        if sort is None:
            return None
        try:
            ranking = yield from collect(self._matches(), Sorter(sort.keys), after)
        except Unsortable as error:
            self._sort_error = error
            if sort.critical:
                raise DirectoryError(
                    ResultCode.UNAVAILABLE_CRITICAL_EXTENSION, "the entries cannot be sorted by the requested keys"
                ) from None
            return None
        self._is_sorted = True
        return ranking

    def _matches(self, after: bytes = b"") -> Iterator[Match | None]:
        return matches(self._dit, self._viewer, self._request, after, self._budget)

    def _window(self, view: VirtualListView) -> Iterator[Entry | None]:
        sort = self._requested.sort
        if sort is None:
            raise self._list_view_error(ResultCode.SORT_CONTROL_MISSING)
        if view.context_id:
            raise self._list_view_error(ResultCode.PROTOCOL_ERROR)
        ranking = yield from self._ranking()
        if ranking is None:
            if view.critical and self._sort_error is not None:
                known = self._sort_error.code in _VLV_CODES
                raise self._list_view_error(self._sort_error.code if known else ResultCode.UNWILLING_TO_PERFORM)
            yield from self._limited(self._keyed_entries(b""))
            return
        try:
            position = view.window.position(ranking, Sorter(sort.keys))
        except (OffsetOutOfRange, Unsortable) as error:
            raise self._list_view_error(error.code) from None
        count = len(ranking)
        self._vlv_response = vlv_response(ResultCode.SUCCESS, position, count)
        window = ranking.slice(*view.window.edges(position, count))
        for ranked in limited(window, self._size_limit):
            yield ranked and ranked.entry

    def _list_view_error(self, code: ResultCode) -> DirectoryError:
        """Return the error of a search that fails because of its list view (section 6.2.1 of the draft)."""
        self._vlv_response = vlv_response(code)
        return DirectoryError(ResultCode.VIRTUAL_LIST_VIEW_ERROR, "the list view cannot be computed")

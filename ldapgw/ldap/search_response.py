# SPDX-License-Identifier: MIT
"""The answer to a search: output that is not written yet, and the entries that are still to be encoded.

`SearchResponse` encodes entries only when the connection asks for more, so nothing is encoded for a client that does
not read, or has abandoned the search.  This module has no clock: callers pass the time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Protocol

from ldapgw.ber import integer
from ldapgw.directory.entry import Selection
from ldapgw.directory.segment import (
    MAX_PAGE_OCTETS,
    NO_PAGE,
    PAGE_SIZE,
    Page,
    ResultBatch,
    response_of,
    set_message_id,
)
from ldapgw.errors import DirectoryError, ResultCode
from ldapgw.ldap.encoder import message_head
from ldapgw.ldap.limits import JOINED
from ldapgw.ldap.messages import SUCCESS, Result


class OutputBuffer:
    """A buffer for octets that are not written yet.

    :ivar max_octets: the maximum size of the buffer after a page of entries was added; an empty buffer takes any page.
    :ivar size: octets of all pieces.
    :ivar full: whether the caller has to write before more is added.
    """

    __slots__ = ("full", "max_octets", "pieces", "size")

    def __init__(self, max_octets: int = MAX_PAGE_OCTETS) -> None:
        self.max_octets = max_octets
        self.pieces: list[bytes] = []
        self.size = 0
        self.full = False

    def add(self, octets: bytes) -> None:
        self.pieces.append(octets)
        self.size += len(octets)
        self.full = self.size >= JOINED

    def add_page(self, page: bytes) -> bool:
        """Add a page of entries if there is room, and return whether the page was added.

        The buffer counts as full if another page of the same size would not fit.  So the caller hardly ever encodes a
        page that does not fit.
        """
        size = len(page)
        fits = not self.size or self.size + size <= self.max_octets
        if fits:
            self.pieces.append(page)
            self.size += size
        self.full = self.size + size > self.max_octets
        return fits

    def take(self) -> bytes:
        """Empty the buffer, and return its octets."""
        return b"".join(self.take_pieces())

    def take_pieces(self) -> list[bytes]:
        """Empty the buffer, and return its pieces."""
        pieces, self.pieces = self.pieces, []
        self.size = 0
        self.full = False
        return pieces


class RunningResponse(Protocol):
    """The answer to a search that is being written: a `SearchResponse`, or the `ControlResponse` of a control.

    :ivar sent: entries that were added to a buffer.
    :ivar is_waiting: whether there is nothing to write until `ldapgw.ldap.server.LdapFactory.wake` is called.
    """

    sent: int
    is_waiting: bool

    def write_next(self, buffer: OutputBuffer, now: float) -> Result | None:
        """Add the next messages to a buffer, and return the result of the search, or None while the search goes on."""


# The number of entries that are encoded before the clock is read again; encoding takes half a millisecond.
CHUNK: Final = 32
# The number of entries that are encoded before the clock is read again if entries take long to encode
# (`Selection.is_slow`).  Encoding 8 entries with two numbers each takes a millisecond.
SLOW_CHUNK: Final = 8
# The messageIDs of one octet, for which the cached messages of `ldapgw.directory.segment` can be used.
_SHORT_IDS: Final = range(1, 128)


class SearchResponse:
    """The SearchResultEntry messages of one search.

    Mutable: the progress of the search.

    :param batches: yields the matches, and None after each slice of work (`ldapgw.directory.search.result_batches`).
    :param time_limit: seconds from the first call of `write_next`.
    :ivar is_waiting: always False, because a search never waits for `LdapFactory.wake`.
    """

    __slots__ = (
        *("_at", "_batch", "_batches", "_chunk", "_deadline", "_encoded", "_has_pages", "_message_id", "_missing"),
        *("_selection", "_time_limit", "_types_only", "is_waiting", "sent"),
    )

    def __init__(
        self,
        message_id: int,
        batches: Iterator[ResultBatch | None],
        selection: Selection,
        *,
        types_only: bool,
        time_limit: float,
    ) -> None:
        self._message_id = message_id
        self._batches = batches
        self._batch: ResultBatch | None = None
        self._at = self.sent = 0
        self.is_waiting = False
        self._selection = selection
        self._chunk = SLOW_CHUNK if selection.is_slow else CHUNK
        self._types_only = types_only
        self._has_pages = message_id in _SHORT_IDS and not types_only and not selection.is_slow
        # The encoded messages of a page that is not cached yet, and the number of messages that the page still lacks.
        self._encoded: list[bytes] = []
        self._missing = 0
        self._time_limit = time_limit
        self._deadline: float | None = None

    def write_next(self, buffer: OutputBuffer, now: float) -> Result | None:
        """Add entries to a buffer until the search ends its slice of work, the buffer is full, or a chunk was added.

        :param now: seconds of any clock that never goes back.
        :returns: the result of the search, or None while the search goes on.
        """
        if self._deadline is None:
            self._deadline = now + self._time_limit
        elif now >= self._deadline:
            return Result(ResultCode.TIME_LIMIT_EXCEEDED)
        enough = self.sent + self._chunk
        try:
            while self.sent < enough and not buffer.full:
                if self._batch is None:
                    self._batch = next(self._batches)
                    self._at = 0
                    if self._batch is None:
                        return None
                self._add(self._batch, buffer)
        except StopIteration:
            return SUCCESS
        except DirectoryError as error:
            return Result.of(error)
        return None

    def _add(self, batch: ResultBatch, buffer: OutputBuffer) -> None:
        """Add the next page of a batch if the page is cached, or else some messages."""
        size = self._page_size(batch) if self._has_pages and not self._missing else 0
        page: Page | None = NO_PAGE
        if size:
            page = batch.segment.page(batch.documents[self._at], self._selection)
            if page is None:
                self._missing, self._encoded = size, []
        if page is not None and page[0]:
            messages, placeholder = page
            if not buffer.add_page(messages.replace(placeholder, bytes((self._message_id,)))):
                return
            count = size
        else:
            count = self._add_chunk(batch, buffer)
        self._at += count
        self.sent += count
        if self._at >= len(batch.documents):
            self._batch = None

    def _page_size(self, batch: ResultBatch) -> int:
        """Return the size of the next page of a batch, or 0 if the next entries are not exactly one page."""
        documents, at = batch.documents, self._at
        first = documents[at]
        last = min(first + PAGE_SIZE, len(batch.segment.entries)) - 1
        end = at + last - first
        return 0 if first % PAGE_SIZE or end >= len(documents) or documents[end] != last else last - first + 1

    def _keep_page(self, batch: ResultBatch, messages: list[bytes]) -> None:
        """Collect messages of a page that is not cached yet, and cache the page once all messages are collected."""
        self._encoded += messages
        self._missing -= len(messages)
        if not self._missing:
            first = batch.documents[self._at] + len(messages) - len(self._encoded)
            batch.segment.keep_page(first, self._selection, self._encoded)
            self._encoded = []

    def _add_chunk(self, batch: ResultBatch, buffer: OutputBuffer) -> int:
        """Add some messages, and return the number of messages.

        If the batch has all remaining entries of the present page, no message of the next page is added.  Then the next
        page can be added as a whole.
        """
        documents, at = batch.documents, self._at
        ahead = PAGE_SIZE - documents[at] % PAGE_SIZE
        count = self._chunk
        if self._missing or documents[at : at + ahead][-1] - documents[at] == ahead - 1:
            count = min(count, ahead)
        chunk = documents[at : at + count]
        is_plain = False
        if self._types_only:
            entries = batch.segment.entries
            responses = [entries[document].encode(self._selection, types_only=True) for document in chunk]
            pieces = [with_message_id(response, self._message_id) for response in responses]
        elif self._missing:
            pieces = batch.segment.encoded(chunk, self._selection)
        elif self._message_id in _SHORT_IDS:
            pieces, is_plain = batch.segment.messages(chunk, self._selection)
        else:
            messages, _ = batch.segment.messages(chunk, self._selection)
            pieces = [with_message_id(response_of(message), self._message_id) for message in messages]
        size = count = 0
        for piece in pieces:
            size += len(piece)
            count += 1
            if buffer.size + size >= JOINED:
                break
        if self._missing:
            self._keep_page(batch, pieces[:count])
        joined = b"".join(pieces[:count])
        if not self._types_only and self._message_id in _SHORT_IDS:
            joined = set_message_id(joined, bytes((self._message_id,)), is_plain=is_plain)
        buffer.add(joined)
        return count


def with_message_id(response: bytes, message_id: int) -> bytes:
    """Return the LDAPMessage that has a messageID and an encoded response."""
    content = integer(message_id) + response
    return message_head(len(content)) + content

# SPDX-License-Identifier: MIT
"""The answer to a search: output that is not written yet, and the entries that are still to be encoded.

`SearchResponse` encodes entries only while somebody takes them; size limit, Abandon and back-pressure follow from that:
for a client that does not read, nothing is encoded.  No clock here: the time is passed in.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ldapgw.ber import integer
from ldapgw.directory.entry import Selection
from ldapgw.directory.segment import MAX_PAGE_OCTETS, PAGE_SIZE, Page, ResultBatch, response_of, set_message_id
from ldapgw.errors import DirectoryError, ResultCode
from ldapgw.ldap.encoder import message_head
from ldapgw.ldap.limits import JOINED
from ldapgw.ldap.messages import SUCCESS, Result


class OutputBuffer:
    """Collects octets until they are written.

    :ivar max_octets: octets that pages of entries may make together.
    :ivar pieces: what there is, in its order.
    :ivar size: octets of all pieces.
    :ivar full: whether to write before more is added.
    """

    __slots__ = ("full", "max_octets", "pieces", "size")

    def __init__(self, max_octets: int = MAX_PAGE_OCTETS) -> None:
        self.max_octets = max_octets
        self.pieces: list[bytes] = []
        self.size = 0
        self.full = False

    def add(self, octets: bytes) -> None:
        """Add octets at the end."""
        self.pieces.append(octets)
        self.size += len(octets)
        self.full = self.size >= JOINED

    def add_page(self, page: bytes) -> bool:
        """Add a page of entries at the end, unless that is too much; whether it was added.

        The buffer is full as soon as one more page of that size would be too much: so hardly any is encoded in vain.
        """
        size = len(page)
        fits = not self.size or self.size + size <= self.max_octets
        if fits:
            self.pieces.append(page)
            self.size += size
        self.full = self.size + size > self.max_octets
        return fits

    def take(self) -> bytes:
        """All octets, joined; the buffer is empty then."""
        return b"".join(self.take_pieces())

    def take_pieces(self) -> list[bytes]:
        """All pieces; the buffer is empty then."""
        pieces, self.pieces = self.pieces, []
        self.size = 0
        self.full = False
        return pieces


# Entries that are encoded at once: a phone's list of 50 is one chunk; one of full entries is 32 KiB.
CHUNK: Final = 64
# The same where an entry takes long to encode (`Selection.is_slow`): two milliseconds with two numbers in each.
SLOW_CHUNK: Final = 16
# The messageIDs of one octet, for which messages are kept (`ldapgw.directory.segment`).
_SHORT_IDS: Final = range(1, 128)


class SearchResponse:
    """The SearchResultEntry messages of one search.

    Mutable: how far the search is.

    :param batches: the matches (`ldapgw.directory.search.result_batches`); None: a slice of work is done.
    :param time_limit: seconds, from the first `write_next` on.
    :ivar sent: entries that were added to a buffer.
    :ivar is_waiting: never true: a search waits for nothing but its client.
    """

    __slots__ = (
        *("_at", "_batch", "_batches", "_chunk", "_deadline", "_message_id", "_selection", "_time_limit"),
        *("_types_only", "is_waiting", "sent"),
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
        self._time_limit = time_limit
        self._deadline: float | None = None

    def write_next(self, buffer: OutputBuffer, now: float) -> Result | None:
        """Add the next entries to a buffer: until a slice of work is done, the buffer is full, or a page was added.

        :param now: seconds, of any clock that goes forward.
        :returns: how the search ended, or None while it goes on.
        """
        if self._deadline is None:
            self._deadline = now + self._time_limit
        elif now >= self._deadline:
            return Result(ResultCode.TIME_LIMIT_EXCEEDED)
        try:
            more = True
            while more and not buffer.full:
                if self._batch is None:
                    self._batch = next(self._batches)
                    self._at = 0
                    if self._batch is None:
                        return None
                more = self._add(self._batch, buffer)
        except StopIteration:
            return SUCCESS
        except DirectoryError as error:
            return Result.of(error)
        return None

    def _add(self, batch: ResultBatch, buffer: OutputBuffer) -> bool:
        """Add a page of a batch, or a chunk, or as much of that as is enough.

        :returns: whether to add more before the clock is looked at: a page, or slow entries, may be encoded only now.
        """
        has_pages = self._message_id in _SHORT_IDS and not self._types_only
        page, placeholder = self._page(batch) if has_pages else (b"", b"")
        if page:
            count = min(PAGE_SIZE, len(batch.segment.entries) - batch.documents[self._at])
            if not buffer.add_page(page.replace(placeholder, bytes((self._message_id,)))):
                return False
            self._at += count
            self.sent += count
        else:
            count = self._add_chunk(batch, buffer)
        if self._at >= len(batch.documents):
            self._batch = None
        return count <= CHUNK and not self._selection.is_slow

    def _page(self, batch: ResultBatch) -> Page:
        """The page that stands next in a batch; empty where not all of its entries do."""
        documents, at, segment = batch.documents, self._at, batch.segment
        first = documents[at]
        last = min(first + PAGE_SIZE, len(segment.entries)) - 1
        end = at + last - first
        if first % PAGE_SIZE or end >= len(documents) or documents[end] != last:
            return b"", b""
        return segment.page(first, self._selection)

    def _add_chunk(self, batch: ResultBatch, buffer: OutputBuffer) -> int:
        """Add some messages, up to where a page may begin; how many."""
        documents, at = batch.documents, self._at
        ahead = PAGE_SIZE - documents[at] % PAGE_SIZE
        count = self._chunk
        if documents[at : at + ahead][-1] - documents[at] == ahead - 1:
            count = min(count, ahead)
        chunk = documents[at : at + count]
        is_plain = False
        if self._types_only:
            entries = batch.segment.entries
            responses = [entries[document].encode(self._selection, types_only=True) for document in chunk]
            pieces = [with_message_id(response, self._message_id) for response in responses]
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
        joined = b"".join(pieces[:count])
        if not self._types_only and self._message_id in _SHORT_IDS:
            joined = set_message_id(joined, bytes((self._message_id,)), is_plain=is_plain)
        buffer.add(joined)
        self._at += count
        self.sent += count
        return count


def with_message_id(response: bytes, message_id: int) -> bytes:
    """The LDAPMessage of a response."""
    content = integer(message_id) + response
    return message_head(len(content)) + content

# SPDX-License-Identifier: MIT
"""What is to be said and not yet written: pieces, and how much they are together.

A search that is being answered: entries are pulled while somebody wants them.

Size limit, Abandon and back-pressure fall out of that: who does not pull gets nothing.  No clock here; the time is
passed in.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ldapgw.ber import integer
from ldapgw.directory.entry import Selection
from ldapgw.directory.search import Portion
from ldapgw.directory.segment import MAX_PAGE_OCTETS
from ldapgw.errors import DirectoryError, ResultCode
from ldapgw.ldap.encoder import message_head
from ldapgw.ldap.limits import JOINED
from ldapgw.ldap.messages import SUCCESS, Result


class OutputBuffer:
    """Collects octets until they are written.

    :ivar most: octets that blocks of entries may make together.
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
        """Say this next."""
        self.pieces.append(octets)
        self.size += len(octets)
        self.full = self.size >= JOINED

    def add_page(self, page: bytes) -> bool:
        """Say a block of entries next, unless that is too much; whether it is said.

        It is full as soon as one more of that size would be too much, so that none is made in vain most often.
        """
        size = len(page)
        fits = not self.size or self.size + size <= self.max_octets
        if fits:
            self.pieces.append(page)
            self.size += size
        self.full = self.size + size > self.max_octets
        return fits

    def take(self) -> bytes:
        """All of it, joined; then there is nothing."""
        return b"".join(self.take_pieces())

    def take_pieces(self) -> list[bytes]:
        """All of it as it is."""
        pieces, self.pieces = self.pieces, []
        self.size = 0
        self.full = False
        return pieces


# Entries that are encoded at once: a phone's list of 50 is one stride; one of full entries is 32 KiB.
CHUNK: Final = 64


class SearchResponse:
    """The entries of one search, in their envelopes.

    :param portions: as `ldapgw.directory.search.portions` gives them; None is a breath.
    :param time_limit: seconds, from the first pull on.
    :ivar sent: entries that were added to an outbox.
    """

    __slots__ = (
        "_at",
        "_deadline",
        "_message_id",
        "_portion",
        "_portions",
        "_selection",
        "_time_limit",
        "_types_only",
        "sent",
    )

    def __init__(
        self,
        message_id: int,
        portions: Iterator[Portion | None],
        selection: Selection,
        *,
        types_only: bool,
        time_limit: float,
    ) -> None:
        self._message_id = integer(message_id)
        self._portions = portions
        self._portion: Portion | None = None
        self._at = self.sent = 0
        self._selection = selection
        self._types_only = types_only
        self._time_limit = time_limit
        self._deadline: float | None = None

    def write_next(self, buffer: OutputBuffer, now: float) -> Result | None:
        """Add the next entries to the outbox: until there is a breath, until it is full, or a block.

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
                if self._portion is None:
                    self._portion = next(self._portions)
                    self._at = 0
                    if self._portion is None:
                        return None
                more = self._add(self._portion, buffer)
        except StopIteration:
            return SUCCESS
        except DirectoryError as error:
            return Result.of(error)
        return None

    def _add(self, portion: Portion, outbox: OutputBuffer) -> bool:
        """Add a block of a portion, or a stride, or as much of that as is enough.

        :returns: whether to add more before the clock is looked at: a large block may be made only now.
        """
        before = self.sent
        block = None if self._types_only else portion.block(self._at, self._selection, self._message_id)
        if block is not None:
            messages, count = block
            if not outbox.add_page(messages):
                return False
            self._at += count
            self.sent += count
        else:
            self._add_chunk(portion, outbox)
        if self._at >= len(portion):
            self._portion = None
        return self.sent - before <= CHUNK

    def _add_chunk(self, portion: Portion, outbox: OutputBuffer) -> None:
        message_id, pieces, size = self._message_id, outbox.pieces, outbox.size
        extra = len(message_id)
        for response in portion.encoded(self._at, CHUNK, self._selection, types_only=self._types_only):
            length = extra + len(response)
            head = message_head(length)
            pieces += (head, message_id, response)
            size += len(head) + length
            self._at += 1
            self.sent += 1
            if size >= JOINED:
                break
        outbox.size = size
        outbox.full = size >= JOINED

# SPDX-License-Identifier: MIT
"""A search that is being answered: entries are pulled a stride at a time while somebody wants them.

Size limit, Abandon and back-pressure fall out of that: who does not pull gets nothing.  No clock here; the time is
passed in.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

from ldapgw.ber import integer
from ldapgw.directory.entry import Entry
from ldapgw.directory.selection import Selection
from ldapgw.errors import DirectoryError, ResultCode
from ldapgw.ldap.encode import message_head
from ldapgw.ldap.limits import JOINED
from ldapgw.ldap.messages import SUCCESS, Result
from ldapgw.ldap.outbox import Outbox

# A phone's list of 50 is one stride; one stride of full entries is 32 KiB.
STRIDE: Final = 64


class Answer:
    """The entries of one search, in their envelopes.

    :param entries: as `ldapgw.directory.search.search` gives them; None is a breath.
    :param time_limit: seconds, from the first pull on.
    """

    __slots__ = ("_deadline", "_entries", "_message_id", "_selection", "_time_limit", "_types_only")

    def __init__(
        self,
        message_id: int,
        entries: Iterator[Entry | None],
        selection: Selection,
        *,
        types_only: bool,
        time_limit: float,
    ) -> None:
        self._message_id = integer(message_id)
        self._entries = entries
        self._selection = selection
        self._types_only = types_only
        self._time_limit = time_limit
        self._deadline: float | None = None

    def pull(self, outbox: Outbox, now: float) -> Result | None:
        """Add the next entries to the outbox: at most `STRIDE` of them, and none once it holds `JOINED` octets.

        :param now: seconds, of any clock that goes forward.
        :returns: how the search ended, or None while it goes on.
        """
        if self._deadline is None:
            self._deadline = now + self._time_limit
        elif now >= self._deadline:
            return Result(ResultCode.TIME_LIMIT_EXCEEDED)
        message_id, selection, types_only, pieces = self._message_id, self._selection, self._types_only, outbox.pieces
        pulled = 0
        size = outbox.size
        try:
            for entry in islice(self._entries, STRIDE):
                if entry is None:
                    return None
                response = entry.encode(selection, types_only=types_only)
                length = len(message_id) + len(response)
                head = message_head(length)
                pieces += (head, message_id, response)
                size += len(head) + length
                pulled += 1
                if size >= JOINED:
                    return None
        except DirectoryError as error:
            return Result.of(error)
        finally:
            outbox.size = size
        return None if pulled == STRIDE else SUCCESS

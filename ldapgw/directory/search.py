# SPDX-License-Identifier: MIT
"""Search (RFC 4511 4.5): the directory as a function of who asks and what for.

A search keeps the tree that it began with: a sync in the middle of it changes nothing for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from ldapgw.directory.batch import Batch
from ldapgw.directory.dit import Dit
from ldapgw.directory.entry import Entry
from ldapgw.directory.filters import SearchRequest
from ldapgw.directory.selection import Selection
from ldapgw.directory.viewer import Viewer
from ldapgw.directory.walk import batches, walk
from ldapgw.errors import DirectoryError, ResultCode


class Portion(Protocol):
    """Some of the entries that a search finds."""

    def __len__(self) -> int: ...

    def encoded(self, start: int, count: int, selection: Selection, *, types_only: bool) -> list[bytes]:
        """From the one at `start` on, at most `count` of them as whole SearchResultEntries, without the message id."""

    def block(self, start: int, selection: Selection, message_id: bytes) -> tuple[bytes, int] | None:
        """From the one at `start` on, the messages of a block of them if there is one, and how many they are.

        :param message_id: an INTEGER, as it stands in each.
        """


class Single:
    """An entry as a portion."""

    __slots__ = ("_entry",)

    def __init__(self, entry: Entry) -> None:
        self._entry = entry

    def __len__(self) -> int:
        return 1

    def encoded(self, start: int, count: int, selection: Selection, *, types_only: bool) -> list[bytes]:  # noqa: ARG002
        """It."""
        return [self._entry.encode(selection, types_only=types_only)]

    def block(self, start: int, selection: Selection, message_id: bytes) -> None:
        """There is none."""


def search(dit: Dit, viewer: Viewer, request: SearchRequest) -> Iterator[Entry | None]:
    """The entries that a search finds, in the order of their names.

    :param request: its size limit is the one to keep; 0: none.
    :returns: an iterator of entries and breaths: None says that a slice of work is done, and the caller may serve
        others before it goes on.
    :raises DirectoryError: at the first step, when the base is no DN, does not exist, or is not for this viewer; behind
        the last entry, when there are more than the size limit allows.
    """
    return limited((hit and hit.entry for hit in walk(dit, viewer, request)), request.size_limit)


def portions(dit: Dit, viewer: Viewer, request: SearchRequest, size_limit: int) -> Iterator[Batch | None]:
    """The same in portions, none of them empty.

    :param size_limit: the one to keep; more than 0.
    """
    left = size_limit
    for batch in batches(dit, viewer, request):
        if batch is not None:
            if len(batch) > left:
                if left:
                    yield batch.part(0, left)
                raise _more()
            left -= len(batch)
        yield batch


def limited(entries: Iterable[Entry | None], size_limit: int) -> Iterator[Entry | None]:
    """No more entries than a limit allows; 0: all.

    :raises DirectoryError: sizeLimitExceeded, behind the last entry that it allows, when there is one more.
    """
    sent = 0
    for entry in entries:
        if entry is not None:
            if sent == size_limit > 0:
                raise _more()
            sent += 1
        yield entry


def _more() -> DirectoryError:
    return DirectoryError(ResultCode.SIZE_LIMIT_EXCEEDED, "there are more entries")

# SPDX-License-Identifier: MIT
"""Search (RFC 4511 4.5): the directory as a function of who asks and what for.

A search keeps the tree that it began with: a sync in the middle of it changes nothing for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ldapgw.directory.dit import Dit
from ldapgw.directory.entry import Entry
from ldapgw.directory.filters import SearchRequest
from ldapgw.directory.viewer import Viewer
from ldapgw.directory.walk import walk
from ldapgw.errors import DirectoryError, ResultCode


def search(dit: Dit, viewer: Viewer, request: SearchRequest) -> Iterator[Entry | None]:
    """The entries that a search finds, in the order of their names.

    :param request: its size limit is the one to keep; 0: none.
    :returns: an iterator of entries and breaths: None says that a slice of work is done, and the caller may serve
        others before it goes on.
    :raises DirectoryError: at the first step, when the base is no DN, does not exist, or is not for this viewer; behind
        the last entry, when there are more than the size limit allows.
    """
    return limited((hit and hit.entry for hit in walk(dit, viewer, request)), request.size_limit)


def limited(entries: Iterable[Entry | None], size_limit: int) -> Iterator[Entry | None]:
    """No more entries than a limit allows; 0: all.

    :raises DirectoryError: sizeLimitExceeded, behind the last entry that it allows, when there is one more.
    """
    sent = 0
    for entry in entries:
        if entry is not None:
            if sent == size_limit > 0:
                raise DirectoryError(ResultCode.SIZE_LIMIT_EXCEEDED, "there are more entries")
            sent += 1
        yield entry

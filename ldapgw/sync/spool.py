# SPDX-License-Identifier: MIT
"""A place for a listing between its first page and its last.

A delta stays in memory.  What is larger waits in a file that has no name: nothing of it is left, however the process
ends, and it is as private as the folder that it lies in.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import SpooledTemporaryFile

from ldapgw.errors import StoreError
from ldapgw.sync.reading import Item, read_items

IN_MEMORY = 1 << 20

_LENGTH = struct.Struct(">I")


class Spool:
    """The items of one listing, page after page.  Its methods may wait for the disk.

    :param folder: where the file would be.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = SpooledTemporaryFile(IN_MEMORY, dir=str(folder))  # noqa: SIM115  closed by `close`

    def add(self, items: bytes) -> None:
        """Keep what came of a page.

        :raises StoreError: when the disk is full.
        """
        try:
            self._file.write(_LENGTH.pack(len(items)) + items)
        except OSError as error:
            raise StoreError(f"{self._folder}: cannot be written to: {error.strerror}") from None

    def __iter__(self) -> Iterator[Item]:
        """All items, in the order in which they came; a page of them is in memory at a time."""
        try:
            self._file.seek(0)
            while head := self._file.read(_LENGTH.size):
                yield from read_items(self._file.read(_LENGTH.unpack(head)[0]))
        except OSError as error:
            raise StoreError(f"{self._folder}: cannot be read: {error.strerror}") from None

    def close(self) -> None:
        """Forget all of it."""
        # What a full disk did not take is not missed.
        with suppress(OSError):
            self._file.close()

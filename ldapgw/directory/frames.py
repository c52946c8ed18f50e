# SPDX-License-Identifier: MIT
"""Values and arrays one behind the other in a file, with a checksum of all at the end.

Each stands in a frame, behind its length.  None is large but arrays, which are written and read where they are: so
neither side ever holds all of it twice.
"""

from __future__ import annotations

from array import array
from io import BufferedIOBase
from typing import TypeVar
from zlib import crc32

import msgspec

T = TypeVar("T")

_LENGTH = 8
_SUM = 4
_BLOCK = 1 << 20

_encode = msgspec.msgpack.Encoder().encode


class DamagedFrames(ValueError):
    """Raised when a file is not as it was written."""


class Writer:
    """Writes frames.

    Mutable: the checksum of what was written.
    """

    def __init__(self, file: BufferedIOBase) -> None:
        self._file = file
        self._sum = 0

    def value(self, value: object) -> None:
        """Write anything that msgpack knows."""
        self._frame(_encode(value))

    def numbers(self, numbers: array[int]) -> None:
        """Write an array."""
        self._frame(memoryview(numbers).cast("B") if numbers else b"")

    def end(self) -> None:
        """Write the checksum."""
        self._file.write(self._sum.to_bytes(_SUM, "big"))

    def _frame(self, octets: bytes | memoryview) -> None:
        for part in (len(octets).to_bytes(_LENGTH, "big"), octets):
            self._sum = crc32(part, self._sum)
            self._file.write(part)


class Reader:
    """Reads the frames of a file that was found to be whole (`whole`)."""

    def __init__(self, file: BufferedIOBase) -> None:
        self._file = file

    def value(self, kind: type[T]) -> T:
        """Read a value that was written with the same meaning.

        :raises msgspec.ValidationError: when it was not.
        """
        return msgspec.msgpack.decode(self._file.read(self._length()), type=kind)

    def numbers(self, code: str) -> array[int]:
        """Read an array.

        :param code: its type code.
        """
        left, found = self._length(), array(code)
        while left > 0:
            found.frombytes(self._file.read(min(_BLOCK, left)))
            left -= _BLOCK
        return found

    def _length(self) -> int:
        return int.from_bytes(self._file.read(_LENGTH), "big")


def whole(file: BufferedIOBase) -> Reader:
    """A file's frames.

    :raises DamagedFrames: when the checksum does not fit.
    """
    seen, left = 0, file.seek(0, 2) - _SUM
    file.seek(0)
    while left > 0:
        block = file.read(min(_BLOCK, left))
        seen, left = crc32(block, seen), left - len(block)
    if left < 0 or file.read(_SUM) != seen.to_bytes(_SUM, "big"):
        raise DamagedFrames
    file.seek(0)
    return Reader(file)

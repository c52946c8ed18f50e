# SPDX-License-Identifier: MIT
"""The records of a book's file, which are read if the file is whole."""

from __future__ import annotations

from array import array
from io import BytesIO

import pytest

from ldapgw.directory.index import DamagedFile, RecordWriter, verified_records


def written() -> bytes:
    file = BytesIO()
    to = RecordWriter(file)
    to.value(("acme", 7))
    to.numbers(array("I", [1, 2, 3]))
    to.end()
    return file.getvalue()


def test_records_are_read_as_they_were_written() -> None:
    """Values and arrays, in their order."""
    source = verified_records(BytesIO(written()))
    assert source.value(tuple[str, int]) == ("acme", 7)
    assert source.numbers("I") == array("I", [1, 2, 3])


@pytest.mark.parametrize(
    "octets",
    [b"", b"abc", written()[:-1], written() + b"x", written().replace(b"acme", b"acne")],
    ids=["empty", "short", "cut off", "longer", "changed"],
)
def test_a_file_that_is_not_whole_is_refused(octets: bytes) -> None:
    """By its length or its checksum."""
    with pytest.raises(DamagedFile):
        verified_records(BytesIO(octets))

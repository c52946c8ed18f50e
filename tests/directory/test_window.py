# SPDX-License-Identifier: MIT
"""Windows: where the target stands, and what is seen around it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ldapgw.contact import Contact
from ldapgw.directory.sort import AtLeast, Offset, OffsetOutOfRange, Sorter, SortKey, Window
from ldapgw.errors import ResultCode
from tests.directory.test_sorting import ranking, tree, uids

BY_NAME = SortKey("cn")
SORTER = Sorter((BY_NAME,))


def people(count: int) -> list[Contact]:
    return [Contact(f"c{at:02}", name=f"User {at:02}") for at in range(count)]


TEN, _ = ranking(tree(people(10)), BY_NAME)
NONE, _ = ranking(tree([]), BY_NAME)


@pytest.mark.parametrize(
    ("offset", "content_count", "position"),
    [
        (1, 0, 1),
        (1, 10, 1),
        (1, 10_000, 1),
        (1, 1, 10),
        (10, 10, 10),
        (77, 77, 10),
        (4, 10, 4),
        (4, 0, 4),
        (50, 100, 5),
        (55, 100, 6),
        (54, 100, 5),
        (2, 100, 1),
        (99, 100, 10),
        (10, 0, 10),
        (11, 0, 11),
        (2147483647, 0, 11),
        (2147483646, 2147483647, 10),
    ],
)
def test_offsets(offset: int, content_count: int, position: int) -> None:
    """In proportion to what the client takes the list to hold, with the draft's special cases (section 5)."""
    assert Window(0, 0, Offset(offset, content_count)).position(TEN, SORTER) == position


@pytest.mark.parametrize(("offset", "content_count"), [(0, 0), (0, 5), (-1, 5), (1, -1), (6, 5)])
def test_offsets_that_cannot_be(offset: int, content_count: int) -> None:
    """Offsets begin with 1, and end with what the client itself takes for the end."""
    with pytest.raises(OffsetOutOfRange) as caught:
        Window(0, 0, Offset(offset, content_count)).position(TEN, SORTER)
    assert caught.value.code is ResultCode.OFFSET_RANGE_ERROR


@pytest.mark.parametrize(
    "target", [Offset(1, 0), Offset(5, 0), Offset(5, 5), Offset(2, 5), AtLeast(b"x"), AtLeast(b"")]
)
def test_an_empty_list_has_no_target(target: Offset | AtLeast) -> None:
    """One behind the last, which is 1."""
    window = Window(3, 3, target)
    assert window.position(NONE, SORTER) == 1
    assert window.edges(1, 0) == (0, 0)


@pytest.mark.parametrize(
    ("value", "position"), [(b"", 1), (b"user 0", 1), (b"USER 04", 5), (b"user 045", 6), (b"user 1", 11), (b"x", 11)]
)
def test_values(value: bytes, position: int) -> None:
    """The first entry that is not less; one behind the last where all are."""
    assert Window(0, 0, AtLeast(value)).position(TEN, SORTER) == position


@settings(max_examples=100, deadline=None)
@given(
    count=st.integers(0, 40), before=st.integers(0, 45), after=st.integers(0, 45), target=st.integers(1, 45),
)  # fmt: skip
def test_a_window_is_a_slice(count: int, before: int, after: int, target: int) -> None:
    """Of the sorted list, as far as there is one."""
    found, _ = ranking(tree(people(count)), SortKey("cn", reverse=True))
    window = Window(before, after, Offset(target, 0))
    position = window.position(found, Sorter((SortKey("cn", reverse=True),)))
    assert position == min(target, count + 1)

    seen = [one.entry.attribute("uid")[0].decode() for one in found.slice(*window.edges(position, count)) if one]
    whole = dict(enumerate(uids(found), start=1))
    assert seen == [whole[at] for at in range(position - before, position + after + 1) if at in whole]

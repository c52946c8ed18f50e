# SPDX-License-Identifier: MIT
"""A window on a sorted list (draft-ietf-ldapext-ldapv3-vlv-09): so many entries before and behind a target.

Positions count from 1, as on the wire; one behind the last says that there is no target.
"""

from __future__ import annotations

from dataclasses import dataclass

from ldapgw.directory.naming import ROOT
from ldapgw.directory.sorting import Ranking, Sorter
from ldapgw.errors import LdapgwError, ResultCode


class OffsetOutOfRange(LdapgwError):
    """Raised when an offset or the count that goes with it cannot be one: 0, or beyond the end by its own account."""

    code = ResultCode.OFFSET_RANGE_ERROR


@dataclass(frozen=True, slots=True)
class Offset:
    """The target is at an offset of a list that the client believes to hold `content_count` entries; 0: no idea."""

    offset: int
    content_count: int


@dataclass(frozen=True, slots=True)
class AtLeast:
    """The target is the first entry whose first sort key is at or behind a value."""

    value: bytes


@dataclass(frozen=True, slots=True)
class Window:
    """What a client wants to see of a list."""

    before: int
    after: int
    target: Offset | AtLeast

    def position(self, ranking: Ranking, sorter: Sorter) -> int:
        """Where the target stands.

        :raises OffsetOutOfRange: when there can be no such offset.
        :raises Unsortable: when the value makes no sense for the first sort key.
        """
        if isinstance(self.target, AtLeast):
            return ranking.before(sorter.start(self.target.value, ranking.context or ROOT)) + 1
        return _scaled(self.target, len(ranking))

    def edges(self, position: int, count: int) -> tuple[int, int]:
        """From where to where (exclusive, from 0) the window reaches when the target stands at a position."""
        return max(0, position - 1 - self.before), min(count, position + self.after)


def _scaled(asked: Offset, count: int) -> int:
    """Section 5: the offset in proportion to what the client and we take the list to hold."""
    offset, content_count = asked.offset, asked.content_count
    if offset < 1 or content_count < 0 or 0 < content_count < offset:
        raise OffsetOutOfRange
    if content_count == 0:
        return min(offset, count + 1)
    if offset == content_count:
        return count or 1
    if offset == 1:
        return 1
    return min(max(1, (2 * count * offset + content_count) // (2 * content_count)), count + 1)

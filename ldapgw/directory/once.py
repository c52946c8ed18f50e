# SPDX-License-Identifier: MIT
"""Each person once: what a walk over several books finds, without those who are in a book that goes before.

All entries of one name are looked at together, because which of them counts must not depend on where a page began.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Final

from ldapgw.directory import order
from ldapgw.directory.batch import Batch
from ldapgw.directory.twins import Namesakes

# Behind a name: the least text behind every order of that name; and behind an order: the least that comes next.
_BEHIND_NAME: Final = "\1"
_NEXT: Final = "\0"

# Entries that are taken apart between two breaths: some milliseconds.
_MOST: Final = 200


def each_once(found: Iterable[Batch | None], own: str, behind: str | None) -> Iterator[Batch | None]:
    """Batches in one order, without doubles.

    :param own: the path of the viewer's own book.
    :param behind: the order behind which entries count; those of its name are among the first.
    """
    sieve = _Sieve(own, behind)
    name = "" if behind is None else order.name_of(behind)
    group: list[Batch] = []
    for batch in found:
        if batch is None:
            yield None
        elif len(batch) == 1:  # where books interleave, nearly all are
            theirs = batch.last_name
            if theirs != name:
                yield from sieve.namesakes(group)
                group, name = [], theirs
            group.append(batch)
        else:
            start = batch.before(name + _BEHIND_NAME)
            if start:
                group.append(batch.part(0, start))
            if start < len(batch):
                yield from sieve.namesakes(group)
                name = batch.last_name
                end = batch.before(name + order.END)
                if start < end:
                    yield from sieve.apart(batch.part(start, end))
                group = [batch.part(end, len(batch))]
    yield from sieve.namesakes(group)


class _Sieve:
    """Mutable: how many entries it has taken apart since its last breath."""

    def __init__(self, own: str, behind: str | None) -> None:
        self._own = own
        self._behind = behind
        self._count = 0

    def namesakes(self, group: Sequence[Batch]) -> Iterator[Batch | None]:
        """All entries of one name."""
        several = len(group) > 1 and len({id(batch.shelf) for batch in group}) > 1
        if several or any(batch.shelf.has_twins(batch.positions) for batch in group):
            group = yield from self._without_doubles(group)
        for batch in group:
            left = batch if self._behind is None else batch.part(batch.before(self._behind + _NEXT), len(batch))
            if left:
                yield left

    def apart(self, batch: Batch) -> Iterator[Batch | None]:
        """Entries of whose names there are no others on another shelf."""
        if not batch.shelf.has_twins(batch.positions):
            yield batch
            return
        entries = batch.shelf.entries
        for _, same in groupby(batch.positions, key=lambda position: order.name_of(entries[position].order)):
            yield from self.namesakes([Batch(batch.area, batch.shelf, [*same])])

    def _without_doubles(self, group: Sequence[Batch]) -> Generator[None, None, list[Batch]]:
        namesakes = Namesakes(self._own)
        for batch in group:
            for position in batch.positions:
                namesakes.add(batch.shelf.entries[position])
                self._count += 1
                if self._count >= _MOST:
                    self._count = 0
                    yield None
        left, first = [], 0
        for batch in group:
            kept = [position for at, position in enumerate(batch.positions, first) if not namesakes.is_double(at)]
            left.append(Batch(batch.area, batch.shelf, kept))
            first += len(batch)
        return left

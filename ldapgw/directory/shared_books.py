# SPDX-License-Identifier: MIT
"""The shared books of a tenant, merged into a few segments, so that more books don't make a search slower.

Up to `_MAX_SEGMENTS` segments stay as they are.  Of more segments, the large ones stay, and all others are merged into
one.  When a small book changes, its entries are deleted from the merged segment and its new segment is searched beside
it, until there are so many segments that the small ones are merged anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from ldapgw.directory.dedup import duplicate_flags
from ldapgw.directory.segment import Segment

# The most segments that a search looks through one by one; each costs some microseconds.
_MAX_SEGMENTS = 8
# How many segments are left after a merge of too many, and the part of all entries above which a segment is large and
# not merged.
_SEGMENTS_AFTER_MERGE = 4
_LARGE_PART = 16


@dataclass(frozen=True, slots=True, repr=False)
class MergedSegment:
    """A segment to search, and the segments that its entries come from: one, or several merged segments.

    :ivar sources: the segments that its entries come from.
    """

    segment: Segment
    sources: tuple[Segment, ...]


@dataclass(frozen=True, slots=True, repr=False)
class SharedBooks:
    """The merged segments of a tenant's shared books and caller-ID books, or of the books shared with one group.

    :ivar count: how many books are shared.
    :ivar containers: the entries of the shared books and of their labels.
    :ivar contacts: the shared books' contacts.
    :ivar numbers: the shared books' contacts, one entry per number.
    :ivar callers: the contacts of caller-ID books.
    :ivar groups: the books that are shared with each group, by the group's name.
    """

    count: int = 0
    containers: tuple[MergedSegment, ...] = ()
    contacts: tuple[MergedSegment, ...] = ()
    numbers: tuple[MergedSegment, ...] = ()
    callers: tuple[MergedSegment, ...] = ()
    groups: Mapping[str, SharedBooks] = field(default_factory=dict)

    @property
    def needs_merge(self) -> bool:
        """Whether there are more segments than a search should look through."""
        longest = max(map(len, (self.containers, self.contacts, self.numbers, self.callers)))
        return longest > _MAX_SEGMENTS or any(group.needs_merge for group in self.groups.values())

    def form(self, *, per_number: bool) -> tuple[Segment, ...]:
        """The shared books' contacts in the form that a viewer wants, as far as it was built."""
        return segments_of(self.numbers if per_number and self.numbers else self.contacts)


def segments_of(merged: Iterable[MergedSegment]) -> tuple[Segment, ...]:
    """The segments to search."""
    return tuple(each.segment for each in merged)


def merge_segments(
    segments: Iterable[Segment], before: Sequence[MergedSegment], *, defer_merge: bool = False
) -> tuple[MergedSegment, ...]:
    """The segments to search in place of many.

    :param before: the merged segments until now, which are used again where possible.
    :param defer_merge: build nothing; there may be more segments then than a search should look through.
    """
    # A segment keeps its tuple of entries when more of them are deleted.
    wanted = {id(segment.entries): segment for segment in segments if len(segment)}
    kept = []
    for merged in before:
        current = _current(merged, wanted)
        if current is not None:
            kept.append(current)
            for segment in current.sources:
                del wanted[id(segment.entries)]
    result = [*kept, *(MergedSegment(segment, (segment,)) for segment in wanted.values())]
    return tuple(result) if defer_merge or len(result) <= _MAX_SEGMENTS else _fewer(result)


def _current(merged: MergedSegment, wanted: dict[int, Segment]) -> MergedSegment | None:
    """A merged segment without the entries that were deleted since.

    :param wanted: the segments of the books now, by the identity of their entries.
    :returns: None: too few of its entries are left, or it has only one source.
    """
    now = [wanted.get(id(segment.entries)) for segment in merged.sources]
    sources = tuple(segment for segment in now if segment is not None)
    if sources == merged.sources:
        return merged
    if sum(map(len, sources)) < len(merged.segment.entries) // 2 or merged.segment is merged.sources[0]:
        return None
    pairs = zip(merged.sources, now, strict=True)
    deleted = {id(entry) for old, new in pairs for entry in (old if new is None else new.deleted_since(old))}
    documents = [document for document, entry in enumerate(merged.segment.entries) if id(entry) in deleted]
    return MergedSegment(merged.segment.with_deleted(documents), sources)


def _fewer(merged: Sequence[MergedSegment]) -> tuple[MergedSegment, ...]:
    """Put all entries into few segments: large segments stay as they are, all others are merged into one."""
    ordered = sorted(merged, key=lambda each: -len(each.segment))
    least = sum(len(each.segment) for each in ordered) / _LARGE_PART
    large = sum(len(each.segment) > least for each in ordered[: _SEGMENTS_AFTER_MERGE - 1])
    alone, others = ordered[:large], ordered[large:]
    sources = tuple(chain.from_iterable(each.sources for each in others))
    segment = Segment.build(chain.from_iterable(sources))
    return (*alone, MergedSegment(segment.with_duplicates(duplicate_flags(segment.entries)), sources))

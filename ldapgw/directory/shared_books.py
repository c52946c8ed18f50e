# SPDX-License-Identifier: MIT
"""The shared books of a tenant, merged into a few segments, so that many books do not make a search slow.

If the books have more than `_MAX_SEGMENTS` segments, the large segments stay as they are, and all other segments are
merged into one segment.  When a small book changes, the former entries are deleted from the merged segment, and the new
entries form a segment of their own.  When there are too many segments again, the small segments are merged anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

from ldapgw.contact import Sharing
from ldapgw.directory.book import Book
from ldapgw.directory.dedup import duplicate_flags
from ldapgw.directory.segment import Segment

# The maximum number of segments that a search looks through one by one; each segment costs some microseconds.
_MAX_SEGMENTS = 8
# The maximum number of segments after a merge.  Only a segment with more than 1/`_LARGE_PART` of all entries may stay
# unmerged.
_SEGMENTS_AFTER_MERGE = 4
_LARGE_PART = 16


@dataclass(frozen=True, slots=True, repr=False)
class MergedSegment:
    """A segment to search, and the segments (at least one) from which its entries come."""

    segment: Segment
    sources: tuple[Segment, ...]


@dataclass(frozen=True, slots=True, repr=False)
class SharedBooks:
    """The merged segments of a tenant's books with one kind of sharing; all these books have the same viewers.

    :ivar containers: the entries of the books and of their labels.
    :ivar numbers: the books' contacts, one entry per number.
    """

    count: int = 0
    containers: tuple[MergedSegment, ...] = ()
    contacts: tuple[MergedSegment, ...] = ()
    numbers: tuple[MergedSegment, ...] = ()

    @property
    def needs_merge(self) -> bool:
        """Return whether segments have to be merged, because there are too many segments for a fast search."""
        return max(map(len, (self.containers, self.contacts, self.numbers))) > _MAX_SEGMENTS

    def form(self, *, per_number: bool) -> tuple[Segment, ...]:
        """Return the segments with an entry per number, or the segments with an entry per contact.

        :param per_number: whether the caller wants an entry per number.  If the segments with an entry per number were
            not built, the segments with an entry per contact are returned.
        """
        return segments_of(self.numbers if per_number and self.numbers else self.contacts)


_NONE: Final = SharedBooks()


def merge_shared_books(
    books: Iterable[Book], before: Mapping[Sharing, SharedBooks], *, defer_merge: bool = False
) -> Mapping[Sharing, SharedBooks]:
    """Merge the shared parts of books with the same sharing.

    :param before: the previous result of this function, whose merged segments are used again where possible.
    :param defer_merge: true to merge no segments, even if there are too many segments for a fast search.
    """
    by_sharing: dict[Sharing, list[Book]] = {}
    for book in books:
        if book.sharing is not Sharing.PRIVATE:
            by_sharing.setdefault(book.sharing, []).append(book)
    return {
        sharing: _merge(shared, before.get(sharing, _NONE), sharing, defer_merge=defer_merge)
        for sharing, shared in by_sharing.items()
    }


def _merge(books: Sequence[Book], before: SharedBooks, sharing: Sharing, *, defer_merge: bool) -> SharedBooks:
    branches = [branch.segments for book in books if (branch := book.shared_branch) is not None]
    contacts = merge_segments(
        (segment for segments in branches for segment in segments.contacts), before.contacts, defer_merge=defer_merge
    )
    if sharing is Sharing.CALLERS:  # nobody lists the books or searches the books by name
        return SharedBooks(len(branches), contacts=contacts)
    by_number = branches if any(segments.numbers for segments in branches) else []
    return SharedBooks(
        len(branches),
        merge_segments((book.shared_containers for book in books), before.containers, defer_merge=defer_merge),
        contacts,
        merge_segments(
            (segment for segments in by_number for segment in segments.form(per_number=True)),
            before.numbers,
            defer_merge=defer_merge,
        ),
    )


def segments_of(merged: Iterable[MergedSegment]) -> tuple[Segment, ...]:
    return tuple(each.segment for each in merged)


def merge_segments(
    segments: Iterable[Segment], before: Sequence[MergedSegment], *, defer_merge: bool = False
) -> tuple[MergedSegment, ...]:
    """Merge many segments into the few segments that a search looks through."""
    # A segment is recognized by its tuple of entries.  A copy with further deleted entries has the same tuple.
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
    """Return a merged segment without the entries that were deleted after the merge.

    :param wanted: the present segments of the books; the key of a segment is the `id` of its tuple of entries.
    :returns: the segment, or None if `merge_segments` has to replace the merged segment.  A merge of several segments
        stays in use until fewer than half of the merge's entries are left.  A single segment stays in use until the
        segment changes.
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
    """Return few segments with all entries; large segments stay, and all other segments are merged."""
    ordered = sorted(merged, key=lambda each: -len(each.segment))
    least = sum(len(each.segment) for each in ordered) / _LARGE_PART
    large = sum(len(each.segment) > least for each in ordered[: _SEGMENTS_AFTER_MERGE - 1])
    alone, others = ordered[:large], ordered[large:]
    sources = tuple(chain.from_iterable(each.sources for each in others))
    segment = Segment.build(chain.from_iterable(sources))
    return (*alone, MergedSegment(segment.with_duplicates(duplicate_flags(segment.entries)), sources))

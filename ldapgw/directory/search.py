# SPDX-License-Identifier: MIT
"""What the base and the scope of a search cover, for somebody who sees a part of the tree.

What one may not see does not exist: it is found neither by a search nor by its name.

Books that are open to callers' names only: who is calling, and nothing else.

Such an entry holds cn, sn, displayName and the one number that was asked for.  Its name is made of what it holds
anyway, right below the tenant, so that neither the book nor the contact's id shows; the filter is held against these
attributes alone, so that it cannot be used to feel for others.

The walk over what a search covers: every entry that matches, with the place where it stands.

A *place* is a text that sorts all entries of a search.  A walk can begin behind any place, of an entry that is there or
is there no more: that is found by bisection, not by walking.  A walk keeps the tree that it began with.

A search that one look is enough for: as phones search, for a number or for the first names of a list.

It finds what the walk finds, or says that the walk has to be taken: where the index leaves too many entries to look at
in one go, where books and labels themselves are found, and where callers' names may be told.

Search (RFC 4511 4.5): the directory as a function of who asks and what for.

A search keeps the tree that it began with: a sync in the middle of it changes nothing for it.

Compare (RFC 4511 4.10): whether an entry holds a value, by the attribute's own equality rule.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import NamedTuple, Protocol, Self

from ldapgw.contact import Sharing
from ldapgw.directory import assertion
from ldapgw.directory.access import ROOT, Access, NamingContext, Viewer
from ldapgw.directory.assertion import TextPredicate
from ldapgw.directory.book import Book, Label
from ldapgw.directory.dedup import Area, Batch, Namesakes, each_once
from ldapgw.directory.dit import Directory, Dit, subschema, tenant_entry
from ldapgw.directory.dn import Dn, InvalidDn, folded
from ldapgw.directory.entry import (
    NAME_END,
    SUBSCHEMA_DN,
    Entry,
    FixedAttributes,
    PackedAttributes,
    Selection,
    encoded_texts,
    octets_of,
    sort_name,
)
from ldapgw.directory.filter import Filter, Scope, SearchRequest
from ldapgw.directory.filter_matcher import ALWAYS, Matcher, Term, numbers_named, prepare, weight
from ldapgw.directory.index import HIGHEST
from ldapgw.directory.inet_org_person import OBJECT_CLASSES
from ldapgw.directory.schema import AttributeType, Family, attribute_type, subtypes
from ldapgw.directory.segment import PAGE_SIZE, Segment
from ldapgw.directory.shared_books import segments_of
from ldapgw.errors import DirectoryError, ResultCode

_SUBSCHEMA = Dn.parse(SUBSCHEMA_DN).key
_ORDER = attrgetter("order")


@dataclass(frozen=True, slots=True)
class Region:
    """A part of the tree in which one filter means one thing.

    :ivar above: the tenant, the books and labels; or the one entry that was asked for.
    :ivar shelves: the contacts.
    :ivar callers: contacts of books that tell a caller's name and no more.
    :ivar own: the path of the viewer's own book: of two entries for the same person, the one in it counts.
    :ivar mixed: whether the contacts are of several books, in which there may be the same person.
    """

    context: NamingContext
    above: tuple[Segment, ...] = ()
    shelves: tuple[Segment, ...] = ()
    callers: tuple[Segment, ...] = ()
    own: str = ""
    mixed: bool = False

    @classmethod
    def of(cls, context: NamingContext, *entries: Entry) -> Self:
        """A few entries, and nothing below them."""
        return cls(context, (Segment(tuple(sorted(entries, key=_ORDER))),) if entries else ())


def regions(dit: Dit, viewer: Viewer, base: str, scope: Scope) -> tuple[Region, ...]:
    """What a search covers.

    :raises DirectoryError: invalidDNSyntax, noSuchObject with the matched DN, or insufficientAccessRights.
    """
    try:
        dn = Dn.parse(base)
    except InvalidDn:
        raise DirectoryError(ResultCode.INVALID_DN_SYNTAX, "the base is not a distinguished name") from None
    if not dn.rdns and scope is Scope.BASE_OBJECT:
        return (Region.of(ROOT, dit.root_dse(viewer)),)
    if dn.key == _SUBSCHEMA:
        return () if scope is Scope.SINGLE_LEVEL else (Region.of(ROOT, subschema()),)
    if not viewer.access:
        raise DirectoryError(ResultCode.INSUFFICIENT_ACCESS_RIGHTS, "this needs a login")
    views = tuple(_views(dit, viewer))
    if not dn.rdns:
        return tuple(view.whole(scope) for view in views)
    for view in views:
        depth = len(dn.rdns) - len(view.directory.context.base.rdns)
        if depth >= 0 and dn.key[depth:] == view.directory.context.base.key:
            return (view.below(dn, depth, scope),)
    raise _missing("")


@dataclass(frozen=True, slots=True)
class _View:
    """A tenant as one viewer sees it."""

    directory: Directory
    access: Access
    per_number: bool

    def whole(self, scope: Scope) -> Region:
        """The tenant's tree, seen from the root of all trees."""
        tenant = tenant_entry(self.directory.context)
        return Region.of(self.directory.context, tenant) if scope is Scope.SINGLE_LEVEL else self._tenant(scope)

    def below(self, dn: Dn, depth: int, scope: Scope) -> Region:
        """The entry of a name, and what lies below it as far as the scope reaches.

        :param depth: how many parts of the name stand before the tenant's.
        """
        if depth == 0:
            return self._tenant(scope)
        value = _only(dn, depth - 1, "ou")
        book = None if value is None else self.directory.book_named(value, self.access)
        if book is None:
            raise _missing(str(dn.parent(depth)))
        if depth == 1:
            return self._branch(scope, book, book.labels)
        value = _only(dn, depth - 2, "ou")
        label = next((label for label in book.labels if folded(label.name) == value), None)
        if label is None:
            return self._leaf(dn, depth - 1, book, scope)
        return self._branch(scope, label, ()) if depth == 2 else self._leaf(dn, depth - 2, label, scope)

    def _tenant(self, scope: Scope) -> Region:
        directory, context = self.directory, self.directory.context
        tenant = tenant_entry(context)
        if scope is Scope.BASE_OBJECT:
            return Region.of(context, tenant)
        if scope is Scope.SINGLE_LEVEL:
            return Region.of(context, *(book.container for book in directory.visible_books(self.access)))
        own, union, seen = directory.own_book(self.access), directory.shared_books, directory.shared
        above = [Segment((tenant,)), *segments_of(union.containers)]
        contacts = [*union.form(per_number=self.per_number)]
        if own is not None and own.sharing is not Sharing.SHARED:
            above.append(own.containers)
            contacts[:0] = self._entries(own)
            seen += 1
        return Region(
            context,
            tuple(above),
            tuple(contacts),
            segments_of(union.callers),
            f"{context.name}/{self.access.book}",
            mixed=bool(union.contacts) and seen > 1,
        )

    def _branch(self, scope: Scope, branch: Book | Label, labels: Iterable[Label]) -> Region:
        """A book or a label; the contacts of a label are found in it alone."""
        own = () if scope is Scope.SINGLE_LEVEL else (branch.container,)
        if scope is Scope.BASE_OBJECT:
            return Region.of(self.directory.context, *own)
        above = Region.of(self.directory.context, *own, *(label.container for label in labels)).above
        return Region(self.directory.context, above, self._entries(branch))

    def _leaf(self, dn: Dn, depth: int, branch: Book | Label, scope: Scope) -> Region:
        """A contact by its name, in either form.

        :param depth: how many parts of the name stand before the branch's.
        """
        uid = _only(dn, depth - 1, "uid")
        entry = None if uid is None else branch.segments.entry_of_uid(uid)
        if entry is None:
            raise _missing(str(dn.parent(depth)))
        if depth > 1:
            raise _missing(str(dn.parent(depth - 1)))
        return Region.of(self.directory.context, *(() if scope is Scope.SINGLE_LEVEL else (entry,)))

    def _entries(self, branch: Book | Label) -> tuple[Segment, ...]:
        return branch.segments.form(per_number=self.per_number)


def _views(dit: Dit, viewer: Viewer) -> Iterator[_View]:
    for access in viewer.access:
        directory = dit.directory(access.tenant)
        if directory is not None:
            yield _View(directory, access, viewer.per_number)


def _only(dn: Dn, at: int, kind: str) -> str | None:
    """The folded value of one part of a name, if it is of this type alone."""
    rdn = dn.key[at]
    return dict(rdn).get(kind) if len(rdn) == 1 else None


def _missing(matched: str) -> DirectoryError:
    return DirectoryError(ResultCode.NO_SUCH_OBJECT, "no such entry, or not for this login", matched_dn=matched)


_SHOWN = ("cn", "sn", "displayName")

Named = Sequence[tuple[AttributeType, TextPredicate]]


def caller(entry: Entry, named: Named, context: NamingContext) -> Entry | None:
    """What a stranger may know of a contact that has one of the numbers named by a filter; None if it has none.

    :param named: attributes with the numbers asked for in them.
    """
    numbers = {kind.name: _held(entry, kind, test) for kind, test in named}
    numbers = {name: held for name, held in numbers.items() if held}
    if not numbers:
        return None
    texts = {name: [value.decode() for value in entry.attribute(name)] for name in _SHOWN}
    number = next(value for held in numbers.values() for value in held)
    dn = Dn(((("cn", texts["cn"][0]), ("telephoneNumber", number)), *context.base.rdns))
    of_texts = (
        assertion.text_search_text
        if context.lenient
        else lambda values: assertion.value_search_text(Family.TEXT, values)
    )
    pieces = {"objectClass": (b"", assertion.value_search_text(Family.OID, OBJECT_CLASSES))}
    pieces |= {name: (encoded_texts(values), of_texts(values)) for name, values in texts.items()}
    pieces |= {
        name: (encoded_texts(held), "".join(f"\n{line}" for line in held.values()) + "\n")
        for name, held in numbers.items()
    }
    return Entry(octets_of(str(dn)), PackedAttributes.pack(pieces), FixedAttributes({}), sort_key=entry.sort_key)


def _held(entry: Entry, kind: AttributeType, test: TextPredicate) -> dict[str, str]:
    """The values of an attribute that are the number asked for, with their searchable lines."""
    sought = entry.search_text(kind)
    if sought is None or not test(sought):
        return {}
    values = [value.decode() for value in entry.attribute(kind.name)]
    lines = assertion.lines_of(sought)
    return {value: line for value, line in zip(values, lines, strict=True) if test(f"\n{line}\n")}


# Looks at entries between two breaths: a fraction of a millisecond for an ordinary filter, a few for the heaviest.
_LOOKS = 800
_MOST_ENTRIES = PAGE_SIZE
# Less is left of them where a filter has so many terms that looking into an index may take a millisecond, too.
_HEAVY = 20
# Where all match nobody looks.
_WHOLE = 16 * PAGE_SIZE
# The first ones: what an index has found for a phone, which wants a list of 50 at most.
_FIRST = 64


class Hit(NamedTuple):
    """An entry that matches, and the area that it stands in."""

    area: Area
    entry: Entry

    @property
    def place(self) -> str:
        """Sorts the hits of a walk, and is the same in the next one."""
        return self.area.start + self.entry.sort_key


def walk(dit: Dit, viewer: Viewer, request: SearchRequest, after: str = "") -> Iterator[Hit | None]:
    """The entries that match, in the order of their places; limits are not looked at.

    :param after: the place to begin behind.
    :returns: an iterator of hits and breaths: None says that a slice of work is done, and the caller may serve others
        before it goes on.
    :raises DirectoryError: at the first step, when the base is no DN, does not exist, or is not for this viewer.
    """
    for batch in batches(dit, viewer, request, after):
        if batch is None:
            yield None
        else:
            yield from [Hit(batch.area, batch.shelf.entries[position]) for position in batch.positions]


def batches(dit: Dit, viewer: Viewer, request: SearchRequest, after: str = "") -> Iterator[Batch | None]:
    """The same in batches, none of them empty; None is a breath."""
    for at, region in enumerate(regions(dit, viewer, request.base, request.scope)):
        matcher = prepare(request.filter, region.context)
        step = max(1, min(_MOST_ENTRIES, _LOOKS // weight(request.filter)))
        above, below = (Area(f"{at:04x}{level}", region.context) for level in (0, 1))
        if after < below.start:
            yield from _matching(above, region.above, matcher, step, _behind(above, after))
        if after[: len(below.start)] <= below.start:
            callers = yield from _callers(region, request.filter, step)
            shelves, mixed = (*region.shelves, *callers), region.mixed or bool(callers)
            own = region.own if mixed else None
            yield from _matching(below, shelves, matcher, step, _behind(below, after), own)


def _behind(area: Area, after: str) -> str | None:
    """The order behind which the walk begins in an area; None: with the first entry."""
    return after[len(area.start) :] if after.startswith(area.start) else None


def _matching(
    area: Area, shelves: Sequence[Segment], matcher: Matcher, step: int, behind: str | None, own: str | None = None
) -> Iterator[Batch | None]:
    """The matching entries of one area.

    :param own: the path of the viewer's own book, where each person is to come once; None: they are different anyway.
    """
    if own is not None:
        first = None if behind is None else sort_name(behind) + NAME_END
        yield from each_once(_runs(area, shelves, matcher, step, first, None), own, behind)
    elif len(shelves) == 1:
        yield from _steps(area, shelves[0], shelves[0].find_documents(matcher.place, behind=behind), matcher, step)
    else:
        yield from _runs(area, shelves, matcher, step, None, behind)


def _callers(region: Region, sought: Filter, step: int) -> Generator[None, None, tuple[Segment, ...]]:
    """What may be told of callers in books that cannot be browsed: nothing, unless the filter names their number."""
    if not region.callers:
        return ()
    numbers = numbers_named(sought, region.context)
    found: dict[str, Entry] = {}
    for shelf in region.callers if numbers.named else ():
        for count, position in enumerate(shelf.find_documents(numbers.place), start=1):
            entry = shelf.entries[position]
            known = caller(entry, numbers.named, region.context) if entry.parent.uuid_namespace != region.own else None
            if known is not None:
                found.setdefault(known.dn, known)
            if count % step == 0:
                yield None
    return (Segment(tuple(sorted(found.values(), key=_ORDER))),) if found else ()


def _steps(
    area: Area,
    shelf: Segment,
    positions: Sequence[int],
    matcher: Matcher,
    step: int,
    start: int = 0,
    stop: int | None = None,
) -> Iterator[Batch | None]:
    """The matching entries of one shelf among those at some positions."""
    entries, holds, every = shelf.entries, matcher.term.holds, matcher.term is ALWAYS
    stop = len(positions) if stop is None else stop
    step = _WHOLE if every else step
    at, end = start, start + (step if every else min(step, _FIRST))
    while at < stop:
        if at > start:
            yield None
        some = positions[at : min(end, stop)]
        at, end = end, (end // step + 1) * step  # where all match, as blocks stand
        found = some if every else [position for position in some if holds(entries[position])]
        if found:
            yield Batch(area, shelf, found)


def _runs(
    area: Area, shelves: Iterable[Segment], matcher: Matcher, step: int, first: str | None, behind: str | None
) -> Iterator[Batch | None]:
    """The matching entries of several shelves in one order: of each shelf as many as come before another's next.

    :param first: the least order that counts; `behind`: the one behind which entries count.
    """
    rows = []
    for shelf in shelves:
        rows.append((shelf, shelf.find_documents(matcher.place, first, behind)))
        if step < _HEAVY:
            yield None
    heads = [(shelf.entries[row[0]].sort_key, at, 0) for at, (shelf, row) in enumerate(rows) if row]
    heapq.heapify(heads)
    looked = 0
    while heads:
        _, at, start = heapq.heappop(heads)
        shelf, row = rows[at]
        stop = _before(heads[0][0], shelf.entries, row, start + 1) if heads else len(row)
        yield from _steps(area, shelf, row, matcher, step, start, stop)
        if stop < len(row):
            heapq.heappush(heads, (shelf.entries[row[stop]].sort_key, at, stop))
        looked += stop - start
        if looked >= step:
            looked = 0
            yield None


def _before(order_: str, entries: Sequence[Entry], positions: Sequence[int], start: int) -> int:
    """Where the first entry stands, from a place on, that does not come before an order."""
    if start == len(positions) or entries[positions[start]].sort_key >= order_:
        return start
    return bisect_left(positions, order_, lo=start, key=lambda position: entries[position].sort_key)


# Entries that are looked at on one shelf: those that a phone shows, and as many that the index gave in vain.
_FIRST_PAGE_CANDIDATES = 128


# Where an entry stands in the order, on which shelf, and at which position.
_Row = tuple[str, int, int]


class Seen:
    """What one look has found; never changed once it is made (compiled, a named tuple takes longer to make).

    :ivar rows: positions on shelves, in the order of their entries.
    :ivar more: whether there are more entries than are allowed.
    """

    __slots__ = ("more", "rows")

    def __init__(self, rows: Sequence[tuple[Segment, Sequence[int]]], *, more: bool) -> None:
        self.rows = rows
        self.more = more


class Glance:
    """What is the same for all searches in a region.

    :ivar context: where they are asked.
    """

    __slots__ = ("_above", "_letters", "_only", "_region", "_tells_callers", "context")

    def __init__(self, region: Region) -> None:
        self.context = region.context
        self._region = region
        self._above = region.above
        self._tells_callers = bool(region.callers)
        self._letters = frozenset[str]().union(*[shelf.attribute_letters for shelf in region.above])
        self._only = region.shelves[0] if len(region.shelves) == 1 and not region.mixed else None

    def look(self, matcher: Matcher, limit: int) -> Seen | None:
        """Look once.

        :param limit: most entries; more than 0.
        :returns: None: the walk has to be taken.
        """
        if matcher.calls and self._tells_callers:
            return None
        letters = matcher.letters
        if letters is None or not letters.isdisjoint(self._letters):
            for shelf in self._above:
                positions, unseen = _look(shelf, matcher, 0)
                if positions or unseen:
                    return None
        only = self._only
        if only is None:
            return _together(self._region, matcher, limit)
        return _seen(only, *_look(only, matcher, limit), limit)


def _seen(shelf: Segment, positions: Sequence[int], unseen: bool, limit: int) -> Seen | None:  # noqa: FBT001  of `_look`
    """What is seen on one shelf."""
    more = len(positions) > limit
    return None if unseen and not more else Seen(((shelf, positions[:limit] if more else positions),), more=more)


def _look(shelf: Segment, matcher: Matcher, limit: int) -> tuple[Sequence[int], bool]:
    """Some of the positions that match, at least one more than the limit if there are; whether there may be others."""
    positions, others = shelf.first_documents(matcher.place, _FIRST_PAGE_CANDIDATES)
    entries, term = shelf.entries, matcher.term
    enough = limit + 1
    if len(positions) <= enough:
        return _matching_positions(positions, entries, term), others
    found = _matching_positions(positions[:enough], entries, term)
    if len(found) > limit:
        return found, True
    return found + _matching_positions(positions[enough:], entries, term), others


def _matching_positions(positions: Sequence[int], entries: tuple[Entry, ...], term: Term) -> list[int]:
    return [position for position in positions if term.holds(entries[position])]


def _together(region: Region, matcher: Matcher, limit: int) -> Seen | None:
    """Look at several shelves, or at one on which the same person may be more than once."""
    looked = [(shelf, *_look(shelf, matcher, limit)) for shelf in region.shelves]
    busy = [one for one in looked if one[1] or one[2]]
    if len(busy) == 1 and not (region.mixed and busy[0][0].has_twins(busy[0][1])):
        return _seen(*busy[0], limit)
    found: list[_Row] = []
    certain = HIGHEST  # the order up to which nothing is unseen
    for at, (shelf, positions, unseen) in enumerate(looked):
        entries = shelf.entries
        found += [(entries[position].sort_key, at, position) for position in positions]
        if unseen:
            certain = min(certain, found[-1][0] if positions else "")
    found.sort()
    if region.mixed:
        # All of one name are looked at together.
        names = [one[0].partition(NAME_END)[0] for one in found]
        found = found[: bisect_left(names, sort_name(certain))]
        if len(set(names)) < len(names):
            found = _each_once(found, region, limit)
    else:
        found = found[: bisect_right(found, certain, key=itemgetter(0))]
    more = len(found) > limit
    if (certain != HIGHEST and not more) or min(len(found), limit) > _FIRST_PAGE_CANDIDATES:
        return None
    rows = groupby(found[:limit], key=itemgetter(1))
    return Seen([(region.shelves[at], [position for _, _, position in row]) for at, row in rows], more=more)


def _each_once(found: Sequence[_Row], region: Region, limit: int) -> list[_Row]:
    """Without those of a person who is there before, as far as they are wanted."""
    chosen: list[_Row] = []
    shelves = region.shelves
    for _, group in groupby(found, key=lambda one: sort_name(one[0])):
        if len(chosen) > limit:
            break
        same = [*group]
        if len(same) > 1 and _may_be_twins(same, shelves):
            namesakes = Namesakes(region.own)
            for _, at, position in same:
                namesakes.add(shelves[at].entries[position])
            same = [one for place, one in enumerate(same) if not namesakes.is_double(place)]
        chosen += same
    return chosen


def _may_be_twins(same: Sequence[_Row], shelves: Sequence[Segment]) -> bool:
    """Whether any of several entries of one name may be the same person."""
    first = same[0][1]
    return any(at != first for _, at, _ in same) or shelves[first].has_twins([position for _, _, position in same])


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


def compare(dit: Dit, viewer: Viewer, dn: str, attribute: str, value: bytes) -> bool:
    """Whether the entry has the value.

    :raises DirectoryError: as a search of that base does; undefinedAttributeType and noSuchAttribute; and
        invalidAttributeSyntax where the comparison is Undefined, which is no "false" (RFC 4511 4.10).
    """
    region = regions(dit, viewer, dn, Scope.BASE_OBJECT)[0]
    [entry] = region.above[0]
    kind = attribute_type(attribute)
    if kind is None:
        raise DirectoryError(ResultCode.UNDEFINED_ATTRIBUTE_TYPE, "no such attribute type")
    haystacks = [(each, entry.search_text(each)) for each in subtypes(kind)]
    present = [(each, haystack) for each, haystack in haystacks if haystack is not None]
    if not present:
        raise DirectoryError(ResultCode.NO_SUCH_ATTRIBUTE, "the entry has no such attribute")
    tests = [(assertion.equality(each, value, region.context), haystack) for each, haystack in present]
    defined = [(asked.test, haystack) for asked, haystack in tests if asked]
    if not defined:
        raise DirectoryError(ResultCode.INVALID_ATTRIBUTE_SYNTAX, "no value of this attribute can be like that")
    return any(test(haystack) for test, haystack in defined)

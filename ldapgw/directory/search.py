# SPDX-License-Identifier: MIT
"""Search and Compare (RFC 4511 4.5 and 4.10): finds the entries that a viewer's request matches.

A `SearchCursor` can answer every search.  The cursor gives the matches of a filter in the order of their sort keys, a
few at a time.  A caller may read all matches, only the first page of a phone's list, or the matches behind a page of
RFC 2696.  A sync during a search does not change the matches, because the cursor keeps the directories that were served
when the search began.

The work of a search is divided into *slices*, each of which takes a few milliseconds at most.  After a slice, a
generator yields None, so that its caller can serve other clients.

For each segment, a `_SegmentMatches` asks the index for candidates, and tests the candidates if the index alone cannot
decide.  The matches of several segments are merged, and a person who is in several books is returned once.  The choice
among duplicates must not depend on the beginning of a page, so all entries of one name are compared together.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Generator, Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Final, TypeVar

from ldapgw.directory import assertion, query_plan
from ldapgw.directory.access import Viewer
from ldapgw.directory.assertion import TextPredicate
from ldapgw.directory.caller_id import CallerIdBudget, find_callers, find_switchboards
from ldapgw.directory.dedup import COMPARED, SameName
from ldapgw.directory.dit import Dit, search_scopes
from ldapgw.directory.entry import Entry
from ldapgw.directory.filter import Scope, SearchRequest
from ldapgw.directory.filter_matcher import PreparedFilter, prepare_in_slices
from ldapgw.directory.index import Index
from ldapgw.directory.name_folding import NAME_END, sort_name
from ldapgw.directory.naming_context import NamingContext
from ldapgw.directory.packed_attributes import attribute_tag
from ldapgw.directory.predicate import Predicate, SearchTextPredicate, TaggedTextPredicate
from ldapgw.directory.schema import AttributeType, attribute_type, subtypes
from ldapgw.directory.segment import PAGE_SIZE, Match, ResultBatch, SearchScope, Segment
from ldapgw.errors import DirectoryError, ResultCode

T = TypeVar("T")

# The maximum number of search texts that are tested in one slice of work.  The tests take a fraction of a millisecond
# for an ordinary filter, and a few milliseconds for the heaviest filter.
_LOOKS: Final = 800
# The maximum number of candidates that are tested in one slice of work.
_MAX_CANDIDATES: Final = PAGE_SIZE
# The maximum number of candidates that `_SegmentMatches.read` takes if the candidates need no test, but some entries of
# the segment are deleted.
_MAX_EXACT: Final = 16 * PAGE_SIZE
# The number of candidates that the first lookup in an index has to find.  The number is twice the number of entries
# that a phone shows, because some candidates do not match.
_FIRST: Final = 128
# The minimum number of matches that are read from each segment for one step of merging.
_MERGED: Final = 64
# The maximum cost of a filter whose queries for all segments are planned in one slice of work.  For a costlier filter,
# each segment is planned in a slice of its own.
_QUICK: Final = 16
# The fifth octet of a match's key (`Match.key`) is the kind of the match.  Containers have the kind 0, contacts have
# the kind 1, and a company to which a caller may belong has the kind 2.
_COMPANY: Final = b"2"


class SearchCursor:
    """The matches of one search, in order.

    Mutable: the progress of the search.

    :param prepared: the filter, prepared for each scope.
    :param after: the key behind which the matches begin (`Match.key`); an entry with this key need not exist any more.
    :param budget: the client's budget for caller-ID books, or None if there is no limit.
    """

    __slots__ = ("_batches", "_demand", "_rest", "finished")

    def __init__(
        self,
        scopes: Sequence[SearchScope],
        prepared: Sequence[PreparedFilter],
        after: bytes = b"",
        budget: CallerIdBudget | None = None,
    ) -> None:
        self.finished = False
        # The generator is no method.  A method would refer to the cursor, and the cursor refers to the generator.  Only
        # the garbage collector frees objects that refer to each other.
        self._demand = _Demand()
        self._batches = _search(scopes, prepared, after, self._demand, budget)
        self._rest: ResultBatch | None = None

    def next(self, limit: int) -> list[ResultBatch]:
        """Return the next matches, at most `limit`.

        :returns: the matches.  There may be fewer matches than `limit`, or none, if a slice of work ends first or if
            the search is `finished`.
        """
        found: list[ResultBatch] = []
        self._demand.wanted = limit
        while limit:
            batch = self._rest
            if batch is None:
                try:
                    batch = next(self._batches)
                except StopIteration:
                    self.finished = True
                    break
                if batch is None:
                    break
            count = len(batch.documents)
            if count > limit:
                self._rest = batch.part(limit, count)
                batch = batch.part(0, limit)
                count = limit
            else:
                self._rest = None
            found.append(batch)
            limit -= count
        return found


class _Demand:
    """The number of matches that the caller of a cursor wants next.

    Mutable: the number.
    """

    __slots__ = ("wanted",)

    def __init__(self) -> None:
        self.wanted = 0


def _search(
    scopes: Sequence[SearchScope],
    filters: Sequence[PreparedFilter],
    after: bytes,
    demand: _Demand,
    budget: CallerIdBudget | None,
) -> Iterator[ResultBatch | None]:
    """Yield batches that are not empty, and yield None after each slice of work.

    If no contact has the number of a caller, the generator yields the companies to which the number may belong.
    """
    if after[4:5] != _COMPANY:
        is_found = False
        for batch in _matching(scopes, filters, after, demand, budget):
            is_found = is_found or batch is not None
            yield batch
        if is_found or after:
            return
    for number, (scope, prepared) in enumerate(zip(scopes, filters, strict=True)):
        key_prefix = b"%04x" % number + _COMPANY
        if after[: len(key_prefix)] > key_prefix:
            continue
        if number + 1 < len(scopes) and scopes[number + 1].left_out:
            continue  # the next scope contains the same contacts
        if prepared.callers and any([segment.has_switchboards for segment in scope.contacts]):  # noqa: C419
            companies = find_switchboards(scope.contacts, prepared.callers, scope.context, scope.own_namespaces)
            if companies is not None:
                start = _start(companies, _key_after(key_prefix, after), None)
                documents = range(start, len(companies.entries))
                if documents:
                    yield ResultBatch(companies, documents, key_prefix, scope.context)


def _matching(
    scopes: Sequence[SearchScope],
    filters: Sequence[PreparedFilter],
    after: bytes,
    demand: _Demand,
    budget: CallerIdBudget | None,
) -> Iterator[ResultBatch | None]:
    for number, (scope, prepared) in enumerate(zip(scopes, filters, strict=True)):
        context = scope.context
        container_prefix, contact_prefix = b"%04x0" % number, b"%04x1" % number
        if after < contact_prefix and _may_match_containers(scope, prepared):
            after_key = _key_after(container_prefix, after)
            yield from _merge(scope.containers, prepared, context, container_prefix, after_key, None, demand)
        if after[: len(contact_prefix)] > contact_prefix:
            continue
        found = _contacts(scope, prepared, contact_prefix, _key_after(contact_prefix, after), demand, budget)
        yield from _leaving_out(scope.left_out, found) if scope.left_out else found


def _contacts(
    scope: SearchScope,
    prepared: PreparedFilter,
    key_prefix: bytes,
    after_key: bytes | None,
    demand: _Demand,
    budget: CallerIdBudget | None,
) -> Iterator[ResultBatch | None]:
    """Yield the contacts of one scope that match, and None after each slice of work.

    :param after_key: the sort key behind which the contacts begin; None to begin with the first contact.
    """
    context = scope.context
    segments, own_namespaces = scope.contacts, scope.own_namespaces if scope.may_have_duplicates else None
    if scope.callers and prepared.numbers:
        numbers, slice_size = prepared.numbers, _slice_size(prepared)
        callers = yield from find_callers(scope.callers, numbers, context, scope.own_namespaces, slice_size, budget)
        if callers is not None:
            segments, own_namespaces = (*segments, callers), scope.own_namespaces
    if len(segments) > 1 or (own_namespaces is not None and segments and segments[0].duplicates):
        yield from _merge(
            segments, prepared, context, key_prefix, after_key, own_namespaces, demand, shown_first=scope.left_out
        )
    elif segments:
        stream = _SegmentMatches(segments[0], prepared, _start(segments[0], after_key, None), demand.wanted)
        while stream.found or not stream.exhausted:
            wanted = demand.wanted
            documents = stream.next(wanted)
            if documents:
                yield ResultBatch(segments[0], documents, key_prefix, context)
            if len(documents) < wanted and not stream.exhausted:
                yield None


def _leaving_out(sort_keys: frozenset[bytes], found: Iterator[ResultBatch | None]) -> Iterator[ResultBatch | None]:
    """Yield batches without the contacts that an earlier scope covers.

    :param sort_keys: the sort keys of the contacts to leave out.
    """
    for batch in found:
        if batch is None:
            yield None
            continue
        entries = batch.segment.entries
        documents = [document for document in batch.documents if entries[document].sort_key not in sort_keys]
        if documents:
            yield ResultBatch(batch.segment, documents, batch.key_prefix, batch.context)


def _merge(
    segments: Sequence[Segment],
    prepared: PreparedFilter,
    context: NamingContext,
    key_prefix: bytes,
    after_key: bytes | None,
    own_namespaces: tuple[str, ...] | None,
    demand: _Demand,
    *,
    shown_first: frozenset[bytes] = frozenset(),
) -> Iterator[ResultBatch | None]:
    """Yield the matches of several segments in one order.

    :param own_namespaces: the UUID namespaces of the viewer's own books if duplicates are to be removed; None if no two
        contacts can be the same person.
    :param shown_first: as in `SameName`.
    """
    streams: list[_SegmentMatches] = []
    for segment in segments:
        if streams and prepared.cost > _QUICK:
            yield None
        streams.append(_SegmentMatches(segment, prepared, _start(segment, after_key, own_namespaces), demand.wanted))
    slice_size = _slice_size(prepared)
    left, wanted, is_last = slice_size, 0, not streams
    while not is_last:
        wanted = max(2 * wanted, _MERGED, demand.wanted)
        for stream in streams:
            while len(stream.found) < wanted and not stream.exhausted:
                stream.found += stream.read(min(wanted - len(stream.found), left))
                left -= stream.looked
                if left <= 0:
                    left = slice_size
                    if not all(stream.exhausted for stream in streams):
                        yield None
        rows, is_last = _rows(streams, own_namespaces)
        if rows:
            wanted = 0  # the next pass reads more matches only if this pass has found no rows
        parts = (rows,) if own_namespaces is None else _without_duplicates(rows, streams, own_namespaces, shown_first)
        for part in parts:
            if part is None:
                yield None
                continue
            behind = part if after_key is None else [row for row in part if row[0] > after_key]
            for at, same in groupby(behind, key=_STREAM):
                yield ResultBatch(streams[at].segment, [document for _, _, document in same], key_prefix, context)


def needs_cursor(scope: SearchScope, prepared: PreparedFilter) -> bool:
    """Return whether a search needs a `SearchCursor` even if all contacts are in one segment.

    Few searches need a cursor.
    """
    if _FIRST * prepared.cost > _LOOKS or scope.left_out or (scope.callers and prepared.numbers):
        return True
    return _may_match_containers(scope, prepared)


def first_matches(segment: Segment, index: Index | None, prepared: PreparedFilter, wanted: int) -> Sequence[int] | None:
    """Find the first matches of a segment without a cursor; nearly all searches need no cursor.

    Without a cursor, the server answers 22 % more reverse look-ups per second (``scripts/bench parts``).

    :param index: the segment's index, or None if the segment has few entries, which are all tested.
    :returns: the documents of the first `wanted` matches, or of all matches if there are fewer matches; None if only a
        cursor can find the documents.
    """
    entries, deleted = segment.entries, segment.deleted
    query, predicate = prepared.plan(index, entries)
    if index is not None:
        documents, has_more = query_plan.first_documents(query, index, entries, wanted if predicate is None else _FIRST)
    else:
        documents, has_more = range(min(len(entries), _FIRST)), len(entries) > _FIRST
    if deleted:
        documents = [document for document in documents if not deleted[document]]
    if predicate is not None:
        candidates, at, end = documents, 0, wanted
        documents = []
        while len(documents) < wanted and at < len(candidates):
            documents += predicate.matching(candidates[at:end], entries)
            # Nearly all candidates match, so the next round tests only twice as many candidates as matches are missing.
            at, end = end, end + 2 * (wanted - len(documents))
        further = _LOOKS // prepared.cost
        if has_more and len(documents) < wanted and index is not None and further >= 2 * _FIRST:
            candidates, has_more = query_plan.first_documents(query, index, entries, further)
            if deleted:
                candidates = [document for document in candidates if not deleted[document]]
            documents = predicate.matching(candidates, entries)
    if has_more and len(documents) < wanted:
        return None
    # Only a cursor looks for the company to which a caller may belong.
    return None if not documents and prepared.callers and segment.has_switchboards else documents[:wanted]


def _slice_size(prepared: PreparedFilter) -> int:
    """Return the number of candidates that are tested in one slice of work."""
    return min(_LOOKS // prepared.cost or 1, _MAX_CANDIDATES)


def _may_match_containers(scope: SearchScope, prepared: PreparedFilter) -> bool:
    """Return whether a container may match.

    If there are few containers, the function tests each container, which is cheaper than a search.
    """
    for alternatives in prepared.object_classes:
        if alternatives.isdisjoint(scope.container_classes):
            return False
    tag_letters = scope.container_tag_letters
    for required in prepared.tag_letters:
        if required.isdisjoint(tag_letters):
            return False
    entries = scope.container_entries
    return not entries or any([prepared.predicate.matches(entry) for entry in entries])  # noqa: C419  a list is faster


def _start(segment: Segment, after_key: bytes | None, own_namespaces: tuple[str, ...] | None) -> int:
    """Return the document at which a search continues behind a sort key; 0 if there is no sort key.

    If duplicates are removed, the search continues at the first document with the same name as the sort key, because
    all entries of one name are compared together.
    """
    if after_key is None:
        return 0
    return (
        segment.document_after(after_key)
        if own_namespaces is None
        else segment.document_from(sort_name(after_key) + NAME_END)
    )


# A match: its sort key, the number of the `_SegmentMatches` from which the match comes, and its document.
_Row = tuple[bytes, int, int]
_STREAM: Final = itemgetter(1)


class _SegmentMatches:
    """The matches of one segment, which are found only when a caller requests the matches.

    Mutable: the matches and candidates that were read.

    :param wanted: the number of matches that is likely to be enough.
    :ivar found: matches that were read, but not returned yet.
    :ivar looked: the number of candidates that the last `read` tested; 1 if the filter needs no test.
    """

    __slots__ = (
        "_at",
        "_candidates",
        "_has_more",
        "_predicate",
        "_query",
        "_slice_size",
        "exhausted",
        "found",
        "looked",
        "segment",
    )

    def __init__(self, segment: Segment, prepared: PreparedFilter, start: int, wanted: int) -> None:
        self.segment = segment
        self.found: list[int] = []
        self.looked = 0
        self._slice_size = _slice_size(prepared)
        self._query, self._predicate = prepared.plan(segment.index, segment.entries)
        self._at = 0
        index = segment.index
        if start or index is None or self._query is None:
            found = segment.next_documents(self._query, start)
        else:
            most = wanted if self._predicate is None else _FIRST
            found = query_plan.first_documents(self._query, index, segment.entries, most)
        self._candidates, self._has_more = found
        self.exhausted = not self._candidates and not self._has_more

    def next(self, limit: int) -> Sequence[int]:
        """Return the next matches, at most `limit`.

        There may be fewer matches, or none, if a slice of work ends first.
        """
        found, left = self.found, self._slice_size
        while len(found) < limit and left > 0 and not self.exhausted:
            documents = self.read(limit if self._predicate is None else min(limit, left))
            left -= self.looked
            if not found and (self.exhausted or len(documents) >= PAGE_SIZE):
                return documents  # a whole page is sent as it is, so the list is not copied
            found += documents
        self.found = found[limit:]
        return found[:limit]

    def read(self, size: int) -> Sequence[int]:
        """Return the matches among the next candidates; empty if no candidate matches.

        :param size: the maximum number of candidates to take.
        """
        at, candidates = self._at, self._candidates
        if at >= len(candidates):  # all candidates of a limited lookup were read
            start = candidates[-1] + 1 if candidates else 0
            candidates, self._has_more = self.segment.next_documents(self._query, start)
            self._candidates = candidates
            at = 0
        predicate = self._predicate
        deleted, entries = self.segment.deleted, self.segment.entries
        if predicate is None and deleted and at < len(candidates):
            # If no document is missing among the candidates, the last taken candidate is the last entry of a page.
            size = min(size, _MAX_EXACT - candidates[at] % PAGE_SIZE)
        documents = candidates[at : at + size]
        self.looked = 1 if predicate is None else len(documents)
        self._at = at + size
        self.exhausted = self._at >= len(candidates) and not self._has_more
        if deleted:
            documents = [document for document in documents if not deleted[document]]
        if predicate is not None:
            documents = predicate.matching(documents, entries)
        return documents


def _rows(streams: Sequence[_SegmentMatches], own_namespaces: tuple[str, ...] | None) -> tuple[list[_Row], bool]:
    """Take the matches that precede all unread matches, in order.

    :param own_namespaces: None if the caller removes no duplicates.  A caller that removes duplicates gets all matches
        of a name together.
    :returns: the matches, and whether no further match follows.
    """
    bound: bytes | None = None
    for stream in streams:
        if not stream.exhausted:
            last = stream.segment.entries[stream.found[-1]].sort_key
            bound = last if bound is None else min(bound, last)
    if bound is not None and own_namespaces is not None:
        bound = sort_name(bound)  # a name sorts before all sort keys that begin with the name
    rows: list[_Row] = []
    for number, stream in enumerate(streams):
        entries, found = stream.segment.entries, stream.found
        end = len(found)
        if bound is not None:
            end = bisect_right(found, bound, key=lambda document: entries[document].sort_key)
        rows += [(entries[document].sort_key, number, document) for document in found[:end]]
        del found[:end]
    rows.sort()
    return rows, bound is None


def _without_duplicates(
    rows: list[_Row],
    streams: Sequence[_SegmentMatches],
    own_namespaces: tuple[str, ...],
    shown_first: frozenset[bytes],
) -> Iterator[list[_Row] | None]:
    """Yield rows without duplicates (`ldapgw.directory.dedup`), and None after each slice of work."""
    names = [sort_name(row[0]) for row in rows]
    if len(set(names)) == len(names):
        yield rows
        return
    kept: list[_Row] = []
    compared = 0
    for _, group in groupby(zip(names, rows, strict=True), key=itemgetter(0)):
        same = [row for _, row in group]
        if len(same) > 1 and _may_be_duplicates(same, streams):
            entries = SameName(own_namespaces, shown_first)
            for _, at, document in same:
                entries.add(streams[at].segment.entries[document])
                compared += 1
                if compared % COMPARED == 0:
                    yield None
            duplicates = yield from entries.duplicates()
            same = [row for number, row in enumerate(same) if number not in duplicates]
        kept += same
        if len(kept) >= _MERGED:  # a phone shows only the first matches, so the caller may need no more
            yield kept
            kept = []
    yield kept


def _may_be_duplicates(same: Sequence[_Row], streams: Sequence[_SegmentMatches]) -> bool:
    """Return whether there may be duplicates among entries with one name."""
    first = same[0][1]
    if any(at != first for _, at, _ in same):
        return True
    return streams[first].segment.has_duplicates([document for _, _, document in same])


def _key_after(key_prefix: bytes, after: bytes) -> bytes | None:
    """Return the sort key in `after`; None if `after` does not begin with `key_prefix`.

    :param after: the key of the match after which the search continues (`Match.key`): a key prefix and a sort key.
    """
    return after[len(key_prefix) :] if after.startswith(key_prefix) else None


# --- the operations ---------------------------------------------------------------------------------------------------


def _cursor(
    dit: Dit, viewer: Viewer, request: SearchRequest, after: bytes, budget: CallerIdBudget | None
) -> Generator[None, None, SearchCursor]:
    """Make the cursor of a request, ignoring the request's limits; yield None after each slice of work.

    :raises DirectoryError: when the base is no DN, does not exist, or is not for this viewer.
    """
    scopes = search_scopes(dit, viewer, request.base, request.scope)
    prepared: list[PreparedFilter] = []
    for scope in scopes:
        prepared.append((yield from prepare_in_slices(request.filter, scope.context)))  # noqa: PERF401  it has to yield
    return SearchCursor(scopes, prepared, after, budget)


def matches(
    dit: Dit, viewer: Viewer, request: SearchRequest, after: bytes = b"", budget: CallerIdBudget | None = None
) -> Iterator[Match | None]:
    """Yield the matches of a search in order, ignoring the request's limits.

    :param after: the key behind which the matches begin.
    :returns: matches, and None after each slice of work, so that the caller can serve other clients.
    :raises DirectoryError: at the first step, when the base is no DN, does not exist, or is not for this viewer.
    """
    cursor = yield from _cursor(dit, viewer, request, after, budget)
    while not cursor.finished:
        for batch in cursor.next(PAGE_SIZE):
            for entry in batch.entries():
                yield Match(batch.key_prefix + entry.sort_key, entry, batch.context)
        if not cursor.finished:
            yield None


def search(dit: Dit, viewer: Viewer, request: SearchRequest) -> Iterator[Entry | None]:
    """Return the entries that a search finds, in the order of their names.

    :param request: the request; its size limit is obeyed, and a size limit of 0 means that there is no limit.
    :returns: entries, and None after each slice of work, so that the caller can serve other clients.
    :raises DirectoryError: at the first step, when the base is no DN, does not exist, or is not for this viewer; after
        the last entry, when there are more entries than the size limit allows.
    """
    for match in limited(matches(dit, viewer, request), request.size_limit):
        yield match and match.entry


def result_batches(
    dit: Dit, viewer: Viewer, request: SearchRequest, size_limit: int, budget: CallerIdBudget | None = None
) -> Iterator[ResultBatch | None]:
    """Yield the entries that a search finds, in batches that are not empty; yield None after each slice of work.

    :param size_limit: the size limit to obey, greater than 0.
    """
    cursor = yield from _cursor(dit, viewer, request, b"", budget)
    left = size_limit
    while not cursor.finished:
        for batch in cursor.next(left + 1):
            if len(batch) > left:
                if left:
                    yield batch.part(0, left)
                raise _more()
            left -= len(batch)
            yield batch
        if not cursor.finished:
            yield None


def limited(found: Iterable[T | None], size_limit: int) -> Iterator[T | None]:
    """Yield no more matches than a limit allows; 0 allows all matches.

    :raises DirectoryError: sizeLimitExceeded, after the last match that the limit allows, when there is another match.
    """
    sent = 0
    for match in found:
        if match is not None:
            if sent == size_limit > 0:
                raise _more()
            sent += 1
        yield match


def _more() -> DirectoryError:
    return DirectoryError(ResultCode.SIZE_LIMIT_EXCEEDED, "there are more entries")


def compare(dit: Dit, viewer: Viewer, dn: str, attribute: str, value: bytes) -> bool:
    """Return whether an entry has a value of an attribute.

    :raises DirectoryError: in the same cases as a search whose base is the entry.  The code is undefinedAttributeType
        if the attribute is unknown, noSuchAttribute if the entry lacks the attribute, and invalidAttributeSyntax if the
        comparison is Undefined (RFC 4511 4.10).
    """
    found = search_scopes(dit, viewer, dn, Scope.BASE_OBJECT)[0]
    [entry] = found.containers[0]
    kind = attribute_type(attribute)
    if kind is None:
        raise DirectoryError(ResultCode.UNDEFINED_ATTRIBUTE_TYPE, "no such attribute type")
    present = [each for each in subtypes(kind) if entry.search_text(each) is not None]
    if not present:
        raise DirectoryError(ResultCode.NO_SUCH_ATTRIBUTE, "the entry has no such attribute")
    assertions = [(each, assertion.equality(each, value, found.context)) for each in present]
    defined = [(each, asserted.test) for each, asserted in assertions if asserted]
    if not defined:
        raise DirectoryError(ResultCode.INVALID_ATTRIBUTE_SYNTAX, "the value does not fit the attribute's syntax")
    return any(_predicate(entry, each, test).matches(entry) for each, test in defined)


def _predicate(entry: Entry, kind: AttributeType, test: TextPredicate) -> Predicate:
    """Return the test that a search would apply to an attribute of the entry."""
    is_own = not kind.operational and attribute_tag(kind) in entry.text
    return TaggedTextPredicate([attribute_tag(kind)], test) if is_own else SearchTextPredicate((kind,), test)

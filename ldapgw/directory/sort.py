# SPDX-License-Identifier: MIT
"""Sorts search results by keys that the client names (RFC 2891), and cuts windows from the sorted list (VLV).

The *rank* of an entry is a short string of octets by which entries are sorted.  A rank has two parts.  The first part
holds the values of the sort keys, one after the other, and then the key of the entry's match.  The first part is cut at
`LONGEST` octets, because a paged search sends the rank of its last entry to the client.  The second part is the entry's
tiebreaker, so that no two ranks are equal.  Entries whose ranks have equal first parts are sorted by their tiebreakers.

If the tenant's matching is lenient, text is sorted as people sort names, and a text without letters comes last.
Otherwise text is sorted by the rules of RFC 4517.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from heapq import merge
from typing import Final, NamedTuple

from ldapgw.directory import assertion, name_folding, normalization
from ldapgw.directory.entry import Entry
from ldapgw.directory.name_folding import NO_LETTERS, TIEBREAKER_LENGTH, has_letters, is_of_bare_name
from ldapgw.directory.naming_context import ROOT, NamingContext
from ldapgw.directory.normalization import lines_of
from ldapgw.directory.schema import AttributeType, Family, MatchingRule, Use, attribute_type, matching_rule, subtypes
from ldapgw.directory.segment import Match
from ldapgw.errors import LdapgwError, ResultCode

# The maximum number of octets of a rank before its tiebreaker.
LONGEST: Final = 208

# The maximum number of sort keys.  Nobody sorts by more keys, and each key costs time for every entry.
MOST_KEYS: Final = 8
# The maximum number of entries that are sorted.  Sorting 100,000 entries takes some 30 MiB of memory.  A Google
# directory has fewer people.
MOST_ENTRIES: Final = 100_000

# The number of entries that are sorted or skipped in one slice of work, which takes a millisecond.
_RUN: Final = 500
# The maximum number of entries that are ranked in one slice of work.
_RANKED: Final = 32

# The number of characters of a value that count in sorting.
_MAX_CHARACTERS: Final = 256

_INVERTED = bytes(range(255, -1, -1))
# The octet that stands for a missing value in a rank.  The key is False for ascending order, and True for reverse
# order.
_NO_VALUE = {False: b"\xff", True: b"\x00"}

# The attributes that hold the whole name.  Entries are sorted by the whole name if the client requests no sort key.
_WHOLE_NAMES = frozenset(("cn", "displayName"))

Lines = Callable[[Entry], list[str]]


class Unsortable(LdapgwError):
    """Raised when the entries cannot be sorted by the requested keys.

    :ivar code: a sortResult of RFC 2891 1.2.
    :ivar attribute: the attribute of the key that is at fault, in the client's spelling; empty if no single key is at
        fault.
    """

    def __init__(self, code: ResultCode, attribute: str = "") -> None:
        super().__init__(code.name)
        self.code = code
        self.attribute = attribute


@dataclass(frozen=True, slots=True)
class SortKey:
    """A sort key (RFC 2891 1.1): an attribute, a rule (None for the attribute's own rule), and a direction."""

    attribute: str
    rule: str | None = None
    reverse: bool = False


class Ranked(NamedTuple):
    """An entry with its rank."""

    rank: bytes
    entry: Entry


class Sorter:
    """Prepared sort keys.

    :raises Unsortable: when an attribute or a rule is unknown, when two keys name one attribute, or when there are too
        many keys.
    """

    def __init__(self, keys: tuple[SortKey, ...]) -> None:
        if len(keys) > MOST_KEYS:
            raise Unsortable(ResultCode.ADMIN_LIMIT_EXCEEDED)
        self._keys = [_Key.prepared(key) for key in keys]
        self._values: dict[NamingContext, list[tuple[Lines, bool]]] = {}
        kinds = [key.kind for key in self._keys]
        for number, key in enumerate(self._keys):
            if key.kind in kinds[:number]:
                raise Unsortable(ResultCode.UNWILLING_TO_PERFORM, key.requested.attribute)

    def rank(self, match: Match) -> bytes:
        """Return the rank of a match.

        :raises Unsortable: when a sort key's attribute has no ordering rule, or when the sort key's rule does not apply
            to the attribute.  In a tenant with lenient matching, more attributes have an ordering.
        """
        context = match.context
        values = self._values.get(context)
        if values is None:
            values = self._values[context] = [(key.lines(context), key.requested.reverse) for key in self._keys]
        keys = b"".join([_least(lines(match.entry), reverse) for lines, reverse in values])
        return (keys + match.key)[:LONGEST] + match.key[-TIEBREAKER_LENGTH:]

    def start(self, value: bytes, context: NamingContext) -> bytes:
        """Return a rank just below the ranks of all entries whose first sort key equals or follows a value.

        :raises Unsortable: when the value does not fit the syntax of the first sort key's rule.
        """
        first = self._keys[0]
        line = first.line(value, context)
        if line is None:
            raise Unsortable(ResultCode.UNWILLING_TO_PERFORM, first.requested.attribute)
        return _least([line], first.requested.reverse)[:LONGEST]


@dataclass(frozen=True, slots=True)
class _Key:
    """A sort key with its attribute type and rule.

    :ivar rule: the rule, or None for the attribute's own ordering.
    """

    requested: SortKey
    kind: AttributeType
    rule: MatchingRule | None

    @classmethod
    def prepared(cls, requested: SortKey) -> _Key:
        kind = attribute_type(requested.attribute)
        if kind is None:
            raise Unsortable(ResultCode.NO_SUCH_ATTRIBUTE, requested.attribute)
        if requested.rule is None:
            return cls(requested, kind, None)
        rule = matching_rule(requested.rule)
        if rule is None or rule.use is not Use.ORDERING:
            raise Unsortable(ResultCode.INAPPROPRIATE_MATCHING, requested.attribute)
        return cls(requested, kind, None if rule.name == kind.comparison.ordering else rule)

    def lines(self, context: NamingContext) -> Lines:
        """Return a function that returns an entry's values normalized for ordering."""
        self._check(context)
        kinds = subtypes(self.kind)
        if self.rule is not None:
            return _rule_lines(self.rule.family, kinds)
        own_lines = _people_lines if self._sorts_as_people(context) else _own_lines
        return own_lines(kinds[0]) if len(kinds) == 1 else _joined([own_lines(kind) for kind in kinds])

    def line(self, value: bytes, context: NamingContext) -> str | None:
        """Normalize a value for ordering; return None if the value does not fit the syntax of the sort key's rule."""
        self._check(context)
        text = assertion.text_of(value, lenient=context.lenient)
        if text is None:
            return None
        if self._sorts_as_people(context):
            words = name_folding.collation_key(text)
            return _people_line(f" {words} ") if words else ""
        family = self.rule.family if self.rule else self.kind.comparison.family
        return normalization.normalized(family, text[:_MAX_CHARACTERS])

    def _check(self, context: NamingContext) -> None:
        if self.rule is not None:
            has_order = self.rule.applies(self.kind, lenient=context.lenient)
        else:
            has_order = bool(self.kind.comparison.ordering) or self._sorts_as_people(context)
        if not has_order:
            raise Unsortable(ResultCode.INAPPROPRIATE_MATCHING, self.requested.attribute)

    def _sorts_as_people(self, context: NamingContext) -> bool:
        """Return whether an attribute's values are sorted as people sort names."""
        return self.rule is None and context.lenient and self.kind.comparison.family is Family.TEXT


class Ranking:
    """Entries sorted by rank.

    The ranks are in several sorted lists (*runs*), which are merged when the entries are read.

    No new object is made for an entry, because a hundred thousand new objects would start a slow garbage collection.

    Mutable: the entries that were added.

    :ivar context: the naming context of the first entry; None if there is no entry.
    """

    def __init__(self) -> None:
        self.context: NamingContext | None = None
        self._entries: dict[bytes, Entry] = {}
        self._runs: list[list[bytes]] = []
        self._unsorted: list[bytes] = []

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Ranked]:
        return (Ranked(rank, self._entries[rank]) for rank in merge(*self._runs))

    def add(self, rank: bytes, entry: Entry) -> None:
        self._entries[rank] = entry
        self._unsorted.append(rank)
        if len(self._unsorted) == _RUN:
            self.settle()

    def settle(self) -> None:
        """Sort the entries that were added since the last call into a new run."""
        self._unsorted.sort()
        self._runs.append(self._unsorted)
        self._unsorted = []

    def before(self, rank: bytes) -> int:
        """Return the number of entries before a rank."""
        return sum(bisect_left(run, rank) for run in self._runs)

    def slice(self, start: int, end: int) -> Iterator[Ranked | None]:
        """Yield the entries from `start` up to `end` (exclusive, from 0), and None after each slice of work."""
        for number, ranked in enumerate(self):
            if number >= end:
                return
            if number >= start:
                yield ranked
            elif number % _RUN == _RUN - 1:
                yield None


def collect(matches: Iterable[Match | None], sorter: Sorter, after: bytes = b"") -> Generator[None, None, Ranking]:
    """Sort the matches of a search; yield None after each slice of work.

    :param matches: matches, and None after each slice of work.
    :param after: a rank; all entries up to this rank are left out.  Without a rank (empty), all entries are returned.
    :raises Unsortable: when there are too many entries, or the entries cannot be sorted.
    """
    ranking = Ranking()
    for number, match in enumerate(matches):
        if match is None:
            yield None
            continue
        if number % _RANKED == 0:
            yield None
        rank = sorter.rank(match)
        if rank <= after:
            continue
        if len(ranking) == MOST_ENTRIES:
            raise Unsortable(ResultCode.ADMIN_LIMIT_EXCEEDED)
        ranking.context = ranking.context or match.context
        ranking.add(rank, match.entry)
    ranking.settle()
    return ranking


def _own_lines(kind: AttributeType) -> Lines:
    """Return a function that returns an attribute's lines in an entry's search text; RFC 2891 sorts by these lines."""

    def lines(entry: Entry) -> list[str]:
        text = entry.search_text(kind)
        return lines_of(text) if text else []

    return lines


def _people_lines(kind: AttributeType) -> Lines:
    """Return a function that returns an entry's values in a form that sorts as people sort names."""
    own_lines, is_name = _own_lines(kind), kind.name in _WHOLE_NAMES

    def lines(entry: Entry) -> list[str]:
        # The contact's name has no letters.  The value may still have letters, because the kind of a number ("mobile")
        # may follow the name.
        if is_name and is_of_bare_name(entry.sort_key):
            return [NO_LETTERS + line for line in own_lines(entry)]
        return [_people_line(line) for line in own_lines(entry)]

    return lines


def _people_line(line: str) -> str:
    return line if has_letters(line) else NO_LETTERS + line


def _rule_lines(family: Family, kinds: tuple[AttributeType, ...]) -> Lines:
    """Return a function that normalizes an entry's values for an ordering rule other than the attribute's own rule."""

    def lines(entry: Entry) -> list[str]:
        values = (value.decode()[:_MAX_CHARACTERS] for kind in kinds for value in entry.attribute(kind.name))
        return [normalization.normalized(family, value) or "" for value in values]

    return lines


def _joined(functions: list[Lines]) -> Lines:
    return lambda entry: [line for lines in functions for line in lines(entry)]


def _least(lines: list[str], reverse: bool) -> bytes:  # noqa: FBT001 - the boolean comes from a table
    """Return the part of a rank that sorts by the least value; without values, the entry sorts last (RFC 2891 2.2)."""
    if not lines:
        return _NO_VALUE[reverse]
    value = min(lines)[:_MAX_CHARACTERS].encode("utf-8", "surrogatepass").replace(b"\0", b"\1")
    return value.translate(_INVERTED) + b"\xff" if reverse else value + b"\0"


# --- virtual list views (draft-ietf-ldapext-ldapv3-vlv-09) ----------------------------------------------------------


class OffsetOutOfRange(LdapgwError):
    """Raised when an offset is less than 1 or exceeds the content count, or when the content count is negative."""

    code = ResultCode.OFFSET_RANGE_ERROR


@dataclass(frozen=True, slots=True)
class Offset:
    """A target at an offset of a list.

    :ivar content_count: the client's estimate of the number of entries of the list; 0 if unknown.
    """

    offset: int
    content_count: int


@dataclass(frozen=True, slots=True)
class AtLeast:
    """A target that is the first entry whose first sort key equals or follows a value."""

    value: bytes


@dataclass(frozen=True, slots=True)
class Window:
    """The requested part of a list: `before` entries, the target, and `after` entries.

    Positions count from 1, as in the protocol.  The position after the last entry means that there is no target.
    """

    before: int
    after: int
    target: Offset | AtLeast

    def position(self, ranking: Ranking, sorter: Sorter) -> int:
        """Return the position of the target.

        :raises OffsetOutOfRange: when the offset is invalid.
        :raises Unsortable: when the value does not fit the syntax of the first sort key's rule.
        """
        if isinstance(self.target, AtLeast):
            return ranking.before(sorter.start(self.target.value, ranking.context or ROOT)) + 1
        return _scaled(self.target, len(ranking))

    def edges(self, position: int, count: int) -> tuple[int, int]:
        """Return start and end (exclusive, from 0) of the window around a target's position."""
        return max(0, position - 1 - self.before), min(count, position + self.after)


def _scaled(target: Offset, count: int) -> int:
    """Return the target's position, scaled from the client's content count to the true count (VLV draft, section 5)."""
    offset, content_count = target.offset, target.content_count
    if offset < 1 or content_count < 0 or 0 < content_count < offset:
        raise OffsetOutOfRange
    if content_count == 0:
        return min(offset, count + 1)
    if offset == content_count:
        return count or 1
    if offset == 1:
        return 1
    return min(max(1, (2 * count * offset + content_count) // (2 * content_count)), count + 1)

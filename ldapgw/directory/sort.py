# SPDX-License-Identifier: MIT
"""Sorting of what a search finds, by keys that the client names (RFC 2891).

An entry's *rank* is a short row of octets that sorts: the values of its keys, one behind the other, then its place in
the walk.  It is cut at `LONGEST` and ends with the entry's own tag, so that no two are the same and a paged search can
tell the client where it has come to: what agrees in its first `LONGEST` octets stands in the order of the tags.

Text is sorted as people sort names where the tenant's matching is lenient, by the letter of RFC 4517 where it is not.

A window on a sorted list (draft-ietf-ldapext-ldapv3-vlv-09): so many entries before and behind a target.

Positions count from 1, as on the wire; one behind the last says that there is no target.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from heapq import merge
from typing import Final, NamedTuple

from ldapgw.directory import assertion, matching_rules, name_folding
from ldapgw.directory.access import ROOT, NamingContext
from ldapgw.directory.assertion import lines_of
from ldapgw.directory.entry import TIEBREAKER_LENGTH, Entry
from ldapgw.directory.filter_matcher import applies
from ldapgw.directory.schema import AttributeType, Family, MatchingRule, Use, attribute_type, matching_rule, subtypes
from ldapgw.directory.search import Match
from ldapgw.errors import LdapgwError, ResultCode

LONGEST: Final = 208

# Nobody sorts by more; each costs a look at every entry.
MOST_KEYS: Final = 8
# Entries that are sorted at once: some 30 MiB for as long as it takes.  A directory of Google's has fewer people.
MOST_ENTRIES: Final = 100_000

# Entries that are sorted in one go, and those looked at between two breaths: a millisecond each.
_RUN: Final = 500

# Signs of a value that count.
_SIGNS: Final = 256

_INVERTED = bytes(range(255, -1, -1))
_NOTHING = {False: b"\xff", True: b"\x00"}

Lines = Callable[[Entry], list[str]]


class Unsortable(LdapgwError):
    """Raised when the entries cannot be sorted by the keys that were asked for.

    :ivar code: one that RFC 2891 1.2 has for the purpose.
    :ivar attribute: the key that it is about, as it was sent; empty: none.
    """

    def __init__(self, code: ResultCode, attribute: str = "") -> None:
        super().__init__(code.name)
        self.code = code
        self.attribute = attribute


@dataclass(frozen=True, slots=True)
class SortKey:
    """RFC 2891 1.1: an attribute, the rule to order by (None: the attribute's own), and whether backwards."""

    attribute: str
    rule: str | None = None
    reverse: bool = False


class Ranked(NamedTuple):
    """An entry with its rank."""

    rank: bytes
    entry: Entry


class Sorter:
    """Sort keys made ready.

    :raises Unsortable: when an attribute or a rule is unknown, when an attribute is there twice, and when there are too
        many.
    """

    def __init__(self, keys: tuple[SortKey, ...]) -> None:
        if len(keys) > MOST_KEYS:
            raise Unsortable(ResultCode.ADMIN_LIMIT_EXCEEDED)
        self._keys = [_Key.prepared(key) for key in keys]
        self._values: dict[NamingContext, list[tuple[Lines, bool]]] = {}
        kinds = [key.kind for key in self._keys]
        for at, key in enumerate(self._keys):
            if key.kind in kinds[:at]:
                raise Unsortable(ResultCode.UNWILLING_TO_PERFORM, key.asked.attribute)

    def rank(self, match: Match) -> bytes:
        """What an entry is sorted by.

        :raises Unsortable: when a key has no order where the entry stands, or its rule does not go with it.
        """
        context = match.context
        values = self._values.get(context)
        if values is None:
            values = self._values[context] = [(key.lines(context), key.asked.reverse) for key in self._keys]
        place = match.key.encode("utf-8", "surrogatepass")
        keys = b"".join([_least(lines(match.entry), reverse) for lines, reverse in values])
        return (keys + place)[:LONGEST] + place[-TIEBREAKER_LENGTH:]

    def start(self, value: bytes, context: NamingContext) -> bytes:
        """The rank that stands before all entries whose first key is at or behind a value, and behind all others.

        :raises Unsortable: when the value makes no sense for the first key.
        """
        first = self._keys[0]
        line = first.line(value, context)
        if line is None:
            raise Unsortable(ResultCode.UNWILLING_TO_PERFORM, first.asked.attribute)
        return _least([line], first.asked.reverse)[:LONGEST]


@dataclass(frozen=True, slots=True)
class _Key:
    """A key with what its words stand for.

    :ivar rule: None: the attribute's own order.
    """

    asked: SortKey
    kind: AttributeType
    rule: MatchingRule | None

    @classmethod
    def prepared(cls, asked: SortKey) -> _Key:
        kind = attribute_type(asked.attribute)
        if kind is None:
            raise Unsortable(ResultCode.NO_SUCH_ATTRIBUTE, asked.attribute)
        if asked.rule is None:
            return cls(asked, kind, None)
        rule = matching_rule(asked.rule)
        if rule is None or rule.use is not Use.ORDERING:
            raise Unsortable(ResultCode.INAPPROPRIATE_MATCHING, asked.attribute)
        return cls(asked, kind, None if rule.name == kind.comparison.ordering else rule)

    def lines(self, context: NamingContext) -> Lines:
        """What gives an entry's values in the form that sorts."""
        self._check(context)
        kinds = subtypes(self.kind)
        if self.rule is not None:
            return _ruled(self.rule.family, kinds)
        return _own(kinds[0]) if len(kinds) == 1 else _all([_own(kind) for kind in kinds])

    def line(self, value: bytes, context: NamingContext) -> str | None:
        """A value in the form that sorts; None where it makes no sense for the key."""
        self._check(context)
        text = assertion.text_of(value, lenient=context.lenient)
        if text is None:
            return None
        if self.rule is None and self.kind.comparison.family is Family.TEXT and context.lenient:
            return f" {name_folding.collation_key(text)} "
        return matching_rules.normalized(self.rule.family if self.rule else self.kind.comparison.family, text[:_SIGNS])

    def _check(self, context: NamingContext) -> None:
        if self.rule is not None:
            known = applies(self.rule, self.kind, context)
        else:
            known = bool(self.kind.comparison.ordering) or (
                context.lenient and self.kind.comparison.family is Family.TEXT
            )
        if not known:
            raise Unsortable(ResultCode.INAPPROPRIATE_MATCHING, self.asked.attribute)


class Ranking:
    """Entries whose ranks were sorted in runs; they are merged as far as they are asked for.

    No object is made for an entry: a hundred thousand would set the garbage collector to work on all there is.

    :ivar context: of the first entry; None where there is none.
    """

    def __init__(self) -> None:
        self.context: NamingContext | None = None
        self._entries: dict[bytes, Entry] = {}
        self._runs: list[list[bytes]] = []
        self._fresh: list[bytes] = []

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Ranked]:
        return (Ranked(rank, self._entries[rank]) for rank in merge(*self._runs))

    def add(self, rank: bytes, entry: Entry) -> None:
        """One more."""
        self._entries[rank] = entry
        self._fresh.append(rank)
        if len(self._fresh) == _RUN:
            self.settle()

    def settle(self) -> None:
        """Sort what has not been sorted yet."""
        self._fresh.sort()
        self._runs.append(self._fresh)
        self._fresh = []

    def before(self, rank: bytes) -> int:
        """How many entries stand before a rank."""
        return sum(bisect_left(run, rank) for run in self._runs)

    def slice(self, start: int, end: int) -> Iterator[Ranked | None]:
        """The entries from one position to another, with breaths."""
        for at, ranked in enumerate(self):
            if at >= end:
                return
            if at >= start:
                yield ranked
            elif at % _RUN == _RUN - 1:
                yield None


def collect(matches: Iterable[Match | None], sorter: Sorter, after: bytes = b"") -> Generator[None, None, Ranking]:
    """Sort what a walk finds, with its breaths.

    :param after: the rank behind which entries count.
    :raises Unsortable: when they are too many, or cannot be sorted.
    """
    ranking = Ranking()
    for match in matches:
        if match is None:
            yield None
            continue
        rank = sorter.rank(match)
        if rank <= after:
            continue
        if len(ranking) == MOST_ENTRIES:
            raise Unsortable(ResultCode.ADMIN_LIMIT_EXCEEDED)
        ranking.context = ranking.context or match.context
        ranking.add(rank, match.entry)
    ranking.settle()
    return ranking


def _own(kind: AttributeType) -> Lines:
    """Values as the entry is searched by them anyway."""

    def lines(entry: Entry) -> list[str]:
        sought = entry.search_text(kind)
        return lines_of(sought) if sought else []

    return lines


def _ruled(family: Family, kinds: tuple[AttributeType, ...]) -> Lines:
    """Values as another rule compares them."""

    def lines(entry: Entry) -> list[str]:
        values = (value.decode()[:_SIGNS] for kind in kinds for value in entry.attribute(kind.name))
        return [matching_rules.normalized(family, value) or "" for value in values]

    return lines


def _all(several: list[Lines]) -> Lines:
    return lambda entry: [line for lines in several for line in lines(entry)]


def _least(lines: list[str], reverse: bool) -> bytes:  # noqa: FBT001 - what a table holds
    """The least value in a form that ends by itself; RFC 2891 2.2: no value is larger than any."""
    if not lines:
        return _NOTHING[reverse]
    value = min(lines)[:_SIGNS].encode("utf-8", "surrogatepass").replace(b"\0", b"\1")
    return value.translate(_INVERTED) + b"\xff" if reverse else value + b"\0"


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

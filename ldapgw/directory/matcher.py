# SPDX-License-Identifier: MIT
"""A filter made ready: what it says of an entry, where to look for those that it holds for; AND, OR, NOT of such."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from ldapgw.directory import plan
from ldapgw.directory.entry import Entry
from ldapgw.directory.plan import Place

Term = Callable[[Entry], bool | None]


class Matcher:
    """A filter made ready; never changed once it is made (a frozen dataclass takes longer to make).

    :ivar holds: whether it holds for an entry; None: Undefined.
    :ivar place: where the entries are that it may hold for.
    :ivar calls: whether it may name a telephone number.
    :ivar letters: it holds for no entry that has no part of one of these signs (`Entry.parts`); None: for any.
    """

    __slots__ = ("calls", "holds", "letters", "place")

    def __init__(
        self,
        holds: Term,
        place: Place = None,
        calls: bool = False,  # noqa: FBT001, FBT002  a field, as in a dataclass
        letters: frozenset[str] | None = None,
    ) -> None:
        self.holds = holds
        self.place = place
        self.calls = calls
        self.letters = letters


def every(matchers: Sequence[Matcher]) -> Matcher:
    """An AND (RFC 4511 4.5.1.7.1)."""
    terms = [matcher.holds for matcher in matchers if matcher is not TRUE]
    if not terms:
        return TRUE
    if len(terms) == 1:
        return next(matcher for matcher in matchers if matcher is not TRUE)

    def term(entry: Entry) -> bool | None:
        result: bool | None = True
        for one in terms:
            found = one(entry)
            if found is False:
                return False
            if found is None:
                result = None
        return result

    return Matcher(term, plan.each([one.place for one in matchers]), any(one.calls for one in matchers))


def either(matchers: Sequence[Matcher]) -> Matcher:
    """An OR (RFC 4511 4.5.1.7.1)."""
    if TRUE in matchers:
        return TRUE
    if len(matchers) == 1:
        return matchers[0]
    terms = [matcher.holds for matcher in matchers]

    def term(entry: Entry) -> bool | None:
        result: bool | None = False
        for one in terms:
            found = one(entry)
            if found:
                return True
            if found is None:
                result = None
        return result

    return Matcher(term, plan.either([one.place for one in matchers]), any(one.calls for one in matchers))


def negated(matcher: Matcher) -> Matcher:
    """A NOT."""
    holds = matcher.holds

    def term(entry: Entry) -> bool | None:
        found = holds(entry)
        return None if found is None else not found

    return Matcher(term)


def always(_entry: Entry) -> bool:
    """Holds for every entry."""
    return True


TRUE: Final = Matcher(always)
FALSE: Final = Matcher(lambda _entry: False, plan.NOWHERE)
UNDEFINED: Final = Matcher(lambda _entry: None, plan.NOWHERE)

# SPDX-License-Identifier: MIT
"""A filter made ready: what it says of an entry, where to look for those that it holds for; AND, OR, NOT of such."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final

from ldapgw.directory import plan
from ldapgw.directory.entry import Entry
from ldapgw.directory.plan import Place


class Term(ABC):
    """What a filter says of an entry, the same whenever it is asked.

    A class, for many entries are looked at: compiled, to call a method is a jump, and to call a function is not.
    """

    __slots__ = ()

    @abstractmethod
    def holds(self, entry: Entry) -> bool | None:
        """Whether it holds for an entry; None: Undefined (RFC 4511 4.5.1.7)."""


class Matcher:
    """A filter made ready; never changed once it is made (a frozen dataclass takes longer to make).

    :ivar term: what it says of an entry.
    :ivar place: where the entries are that it may hold for.
    :ivar calls: whether it may name a telephone number.
    :ivar letters: it holds for no entry that has no part of one of these signs (`Entry.parts`); None: for any.
    """

    __slots__ = ("calls", "letters", "place", "term")

    def __init__(
        self,
        term: Term,
        place: Place = None,
        calls: bool = False,  # noqa: FBT001, FBT002  a field, as in a dataclass
        letters: frozenset[str] | None = None,
    ) -> None:
        self.term = term
        self.place = place
        self.calls = calls
        self.letters = letters


def every(matchers: Sequence[Matcher]) -> Matcher:
    """An AND (RFC 4511 4.5.1.7.1)."""
    said = [matcher for matcher in matchers if matcher is not TRUE]
    if len(said) < 2:
        return said[0] if said else TRUE
    place = plan.each([one.place for one in matchers])
    return Matcher(_Every([one.term for one in said]), place, any(one.calls for one in matchers))


def either(matchers: Sequence[Matcher]) -> Matcher:
    """An OR (RFC 4511 4.5.1.7.1)."""
    if TRUE in matchers:
        return TRUE
    if len(matchers) == 1:
        return matchers[0]
    place = plan.either([one.place for one in matchers])
    return Matcher(_Either([one.term for one in matchers]), place, any(one.calls for one in matchers))


def negated(matcher: Matcher) -> Matcher:
    """A NOT."""
    return Matcher(_Not(matcher.term))


class _Every(Term):
    __slots__ = ("_terms",)

    def __init__(self, terms: Sequence[Term]) -> None:
        self._terms = terms

    def holds(self, entry: Entry) -> bool | None:
        result: bool | None = True
        for term in self._terms:
            found = term.holds(entry)
            if found is False:
                return False
            if found is None:
                result = None
        return result


class _Either(Term):
    __slots__ = ("_terms",)

    def __init__(self, terms: Sequence[Term]) -> None:
        self._terms = terms

    def holds(self, entry: Entry) -> bool | None:
        result: bool | None = False
        for term in self._terms:
            found = term.holds(entry)
            if found:
                return True
            if found is None:
                result = None
        return result


class _Not(Term):
    __slots__ = ("_term",)

    def __init__(self, term: Term) -> None:
        self._term = term

    def holds(self, entry: Entry) -> bool | None:
        found = self._term.holds(entry)
        return None if found is None else not found


class _Known(Term):
    """The same for every entry."""

    __slots__ = ("_said",)

    def __init__(self, *, said: bool | None) -> None:
        self._said = said

    def holds(self, entry: Entry) -> bool | None:  # noqa: ARG002 - whichever it is
        return self._said


ALWAYS: Final[Term] = _Known(said=True)
TRUE: Final = Matcher(ALWAYS)
FALSE: Final = Matcher(_Known(said=False), plan.NOWHERE)
UNDEFINED: Final = Matcher(_Known(said=None), plan.NOWHERE)

# SPDX-License-Identifier: MIT
"""The terms of a filter that can make it true, one by one: what each asks for, and whether a value has it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ldapgw.directory import assertion, matching_rules, name_folding
from ldapgw.directory.access import NamingContext
from ldapgw.directory.assertion import Assertion, TextPredicate
from ldapgw.directory.entry import Entry
from ldapgw.directory.filter import (
    And,
    Approximate,
    Equality,
    Extensible,
    Filter,
    GreaterOrEqual,
    LessOrEqual,
    Not,
    Or,
    Present,
    Substrings,
)
from ldapgw.directory.schema import AttributeType, Family, attribute_type, subtypes
from ldapgw.numbers import phone_number
from ldapgw.numbers.phone_number import Number

Term = Equality | Approximate | Substrings | GreaterOrEqual | LessOrEqual | Present | Extensible


@dataclass(frozen=True, slots=True, repr=False)
class Leaf:
    """A term.

    :ivar kind: its attribute; None where that is unknown or there is none.
    :ivar text: what it asks for, its parts joined by blanks; empty for presence.
    """

    term: Term
    kind: AttributeType | None
    text: str = ""

    @property
    def family(self) -> Family | None:
        """How its attribute's values compare."""
        return self.kind.comparison.family if self.kind else None

    @property
    def kinds(self) -> tuple[AttributeType, ...]:
        """The attributes that hold its values."""
        return subtypes(self.kind) if self.kind else ()


def leaves(sought: Filter, *, wanted: bool = True) -> Iterator[Leaf]:
    """The terms of a filter that have to be true for it; those under a "not" are none of these."""
    match sought:
        case And(terms) | Or(terms):
            for term in terms:
                yield from leaves(term, wanted=wanted)
        case Not(term):
            yield from leaves(term, wanted=not wanted)
        case _ if wanted:
            yield _leaf(sought)


def _leaf(term: Term) -> Leaf:
    kind = attribute_type(term.attribute) if term.attribute is not None else None
    match term:
        case Present():
            return Leaf(term, kind)
        case Substrings(initial=initial, any=middle, final=final):
            parts = (initial, *middle, final)
        case _:
            parts = (term.value,)
    texts = (assertion.text_of(part, lenient=True) or "" for part in parts if part)
    return Leaf(term, kind, " ".join(text for text in texts if text))


def test_of(leaf: Leaf, kind: AttributeType, context: NamingContext) -> TextPredicate | None:
    """The test of a term on an attribute's haystack; None: Undefined, or not one of values alone."""
    term = leaf.term
    match term:
        case Substrings(initial=initial, any=middle, final=final):
            return _test(assertion.substrings(kind, initial, middle, final, context))
        case Equality():
            return _test(assertion.equality(kind, term.value, context))
        case Approximate():
            return _test(assertion.approximate(kind, term.value, context))
        case GreaterOrEqual() | LessOrEqual():
            return _test(assertion.ordering(kind, term.value, context, greater=isinstance(term, GreaterOrEqual)))
        case _:
            return None


def _test(asked: Assertion | None) -> TextPredicate | None:
    return None if asked is None else asked.test


def begins_word(text: str, kind: AttributeType, context: NamingContext) -> TextPredicate | None:
    """Whether a value has the text at the beginning of a word."""
    return _test(assertion.substrings(kind, text.encode("utf-8", "surrogateescape"), (), None, context))


def holds(text: str, kind: AttributeType, context: NamingContext) -> TextPredicate | None:
    """Whether a value has the text anywhere."""
    return _test(assertion.substrings(kind, None, (text.encode("utf-8", "surrogateescape"),), None, context))


def lenient(context: NamingContext) -> NamingContext:
    """The same tenant, if it matched as people read."""
    return replace(context, lenient=True)


def searchable(entry: Entry, kind: AttributeType, context: NamingContext) -> str | None:
    """What an attribute of an entry is searched in leniently, whether its tenant does so or not."""
    found = entry.search_text(kind)
    if context.lenient or found is None or kind.comparison.family not in (Family.TEXT, Family.NUMBER):
        return found
    values = [value.decode() for value in entry.attribute(kind.name)]
    if kind.comparison.family is Family.TEXT:
        return assertion.text_search_text(values)
    return assertion.number_search_text(read for _, read in numbers_of(entry, kind, context))


def each_value(entry: Entry, kind: AttributeType, context: NamingContext) -> Iterator[tuple[str, str]]:
    """The values of an attribute, each with what it alone is searched in by its tenant's matching."""
    values = [value.decode() for value in entry.attribute(kind.name)]
    family = kind.comparison.family
    if context.lenient and family is Family.NUMBER:
        lines = assertion.lines_of(entry.search_text(kind) or "")
        yield from ((value, f"\n{line}\n") for value, line in zip(values, lines, strict=True))
    elif context.lenient and family is Family.TEXT:
        yield from ((value, assertion.text_search_text((value,))) for value in values)
    else:
        yield from ((value, assertion.value_search_text(family, (value,))) for value in values)


def numbers_of(entry: Entry, kind: AttributeType, context: NamingContext) -> Iterator[tuple[str, Number]]:
    """The telephone numbers of an attribute, each as it is shown and as it is compared."""
    values = [value.decode() for value in entry.attribute(kind.name)]
    if context.lenient:
        lines = assertion.lines_of(entry.search_text(kind) or "")
        yield from ((value, assertion.number_of(line)) for value, line in zip(values, lines, strict=True))
    else:
        yield from ((value, read) for value in values if (read := phone_number.parse(value, context.region)))


def forms_of(leaf: Leaf, context: NamingContext) -> tuple[str, ...]:
    """The forms in which a text is looked for."""
    if leaf.family is not Family.TEXT or not leaf.text:
        return ()
    return name_folding.query_variants(leaf.text) if context.lenient else (matching_rules.string(leaf.text).strip(),)


def names_number(sought: Filter) -> bool:
    """Whether a filter asks for a whole telephone number: books of callers' names answer that alone."""
    wanted = (leaf for leaf in leaves(sought) if leaf.family is Family.NUMBER)
    return any(isinstance(leaf.term, Equality | Approximate) for leaf in wanted)

# SPDX-License-Identifier: MIT
"""A filter made ready for a search: a function of an entry that is True, False or None (Undefined).

What was asked for is read, folded and parsed here, once; what is left for each entry is a look into its haystacks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from ldapgw import number
from ldapgw.directory import haystack, needle
from ldapgw.directory.dn import Dn
from ldapgw.directory.entry import Entry
from ldapgw.directory.filters import (
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
from ldapgw.directory.naming import NamingContext
from ldapgw.directory.needle import Test
from ldapgw.directory.schema import (
    ATTRIBUTE_TYPES,
    AttributeType,
    Family,
    MatchingRule,
    Use,
    attribute_type,
    matching_rule,
    subtypes,
)
from ldapgw.directory.syntax import conforms

Term = Callable[[Entry], bool | None]

_Assertion = Equality | Approximate | Substrings | GreaterOrEqual | LessOrEqual

# What is worked out for each entry anew takes about so many looks' time.
_SLOW = 20

# RFC 4517 4.2.4 to 4.2.6 and 4.2.11 to 4.2.13: the rules that compare a Directory String compare all its alternatives,
# which are, of the syntaxes here, Directory String itself, Country String and Telephone Number.
_DIRECTORY_STRING_RULES = frozenset(f"2.5.13.{arc}" for arc in range(2, 8))
_DIRECTORY_STRINGS = frozenset(f"1.3.6.1.4.1.1466.115.121.1.{arc}" for arc in (11, 15, 50))
# A person who asks for one of these rules means any text: mail and postal addresses too.
_TEXTS = _DIRECTORY_STRINGS | {f"1.3.6.1.4.1.1466.115.121.1.{arc}" for arc in (26, 41)}


def prepare(sought: Filter, context: NamingContext) -> Term:
    """Make a filter ready (RFC 4511 4.5.1.7)."""
    match sought:
        case And(terms):
            return _all(tuple(prepare(term, context) for term in terms))
        case Or(terms):
            return _any(tuple(prepare(term, context) for term in terms))
        case Not(term):
            return _not(prepare(term, context))
        case Present(attribute):
            return _present(attribute, context)
        case Extensible():
            return _extensible(sought, context)
        case _:
            return _on_each(attribute_type(sought.attribute), lambda kind: _test(sought, kind, context))


def weight(sought: Filter) -> int:
    """About how many looks at an entry a filter costs."""
    match sought:
        case And(terms) | Or(terms):
            return 1 + sum(map(weight, terms))
        case Not(term):
            return 1 + weight(term)
        case Substrings(any=middle):
            return 1 + len(middle)
        case Extensible(attribute=None):
            return _SLOW * len(ATTRIBUTE_TYPES)
        case Extensible():
            return _SLOW
        case _:
            kind = attribute_type(sought.attribute)
            return _SLOW if kind and kind.operational else 1


def numbers_named(sought: Filter, context: NamingContext) -> Iterator[tuple[AttributeType, Test]]:
    """The telephone numbers that a filter names as a whole, in a term that can make it true."""
    match sought:
        case And(terms) | Or(terms):
            for term in terms:
                yield from numbers_named(term, context)
        case Equality(attribute, value) | Approximate(attribute, value):
            kind = attribute_type(attribute)
            test = needle.equality(kind, value, context) if kind and kind.kind.family is Family.NUMBER else None
            if kind and test:
                yield kind, test


def _test(sought: _Assertion, kind: AttributeType, context: NamingContext) -> Test | None:
    """The test of a term on one attribute; None: Undefined."""
    if isinstance(sought, Substrings):
        return needle.substrings(kind, sought.initial, sought.any, sought.final, context)
    if isinstance(sought, Equality | Approximate):
        return needle.equality(kind, sought.value, context)
    return needle.ordering(kind, sought.value, context, greater=isinstance(sought, GreaterOrEqual))


def _on_each(kind: AttributeType | None, test_of: Callable[[AttributeType], Test | None]) -> Term:
    """The test of an attribute, on its subtypes too."""
    if kind is None:
        return _undefined
    shared = _shared(test_of)
    terms = [_on(each, shared(each)) for each in subtypes(kind)]
    return terms[0] if len(terms) == 1 else _any(tuple(terms))


def _shared(test_of: Callable[[AttributeType], Test | None]) -> Callable[[AttributeType], Test | None]:
    """Makes each test once for all attributes that are compared alike: folding what was asked for is the dear part."""
    tests: dict[object, Test | None] = {}

    def of(kind: AttributeType) -> Test | None:
        likeness = needle.likeness(kind)
        if likeness not in tests:
            tests[likeness] = test_of(kind)
        return tests[likeness]

    return of


def _on(kind: AttributeType, test: Test | None) -> Term:
    if test is None:
        return _undefined
    if kind.operational:
        return lambda entry: (sought := entry.haystack(kind)) is not None and test(sought)
    name = kind.name

    def term(entry: Entry) -> bool:
        at = entry.shape.get(name)
        return at is not None and test(entry.haystacks[at])

    return term


def _present(attribute: str, context: NamingContext) -> Term:
    kind = attribute_type(attribute)
    if kind is None:
        return _false if context.lenient else _undefined
    return _on_each(kind, lambda _kind: bool)


def _extensible(sought: Extensible, context: NamingContext) -> Term:
    """RFC 4511 4.5.1.7.7: one attribute or all, by one's own rule or the attribute's, in the DN too if asked."""
    rule = matching_rule(sought.rule) if sought.rule is not None else None
    kind = attribute_type(sought.attribute) if sought.attribute is not None else None
    if (sought.rule is not None and rule is None) or (sought.attribute is not None and kind is None):
        return _undefined
    kinds = [kind] if kind else [each for each in ATTRIBUTE_TYPES if not each.supertype]
    ruled = _ruled(rule, sought.value) if rule else None  # once: the value may be long, and the attributes are many
    own = _shared(lambda each: needle.equality(each, sought.value, context))
    terms = [
        _extended(one, rule, ruled if rule else own(one), sought, context) for each in kinds for one in subtypes(each)
    ]
    known = tuple(term for term in terms if term is not None)
    return _any(known) if known else _undefined


def _extended(
    kind: AttributeType, rule: MatchingRule | None, test: Test | None, sought: Extensible, context: NamingContext
) -> Term | None:
    """The term of one attribute; None where the rule does not compare its values, or makes nothing of the asked one.

    :param test: the rule's, or without one the attribute's own.
    """
    if test is None or (rule is not None and not applies(rule, kind, context)):
        return None
    search = _ruled_haystack(rule.family) if rule else _own_haystack(kind, context)

    def term(entry: Entry) -> bool:
        values = [value.decode() for value in entry.attribute(kind.name)]
        if sought.dn_attributes:
            values += _dn_values(entry.dn, kind)
        return bool(values) and test(search(values))

    return term if rule or sought.dn_attributes else _on(kind, test)


def applies(rule: MatchingRule, kind: AttributeType, context: NamingContext) -> bool:
    """Whether a rule compares an attribute's values (RFC 4512 4.1.4 would call it the rule's use)."""
    if rule.name in (kind.kind.equality, kind.kind.ordering, kind.kind.substrings):
        return True
    return rule.oid in _DIRECTORY_STRING_RULES and kind.kind.syntax in (
        _TEXTS if context.lenient else _DIRECTORY_STRINGS
    )


def _own_haystack(kind: AttributeType, context: NamingContext) -> Callable[[Iterable[str]], str]:
    """How an attribute's values are searched that do not come from the entry itself."""
    if kind.kind.family is Family.TEXT and context.lenient:
        return haystack.of_texts
    if kind.kind.family is Family.NUMBER and context.lenient:
        return lambda values: haystack.of_numbers(
            read for value in values if (read := number.parse(value, context.region))
        )
    return _ruled_haystack(kind.kind.family)


def _ruled_haystack(family: Family) -> Callable[[Iterable[str]], str]:
    return lambda values: haystack.of_values(family, values)


def _ruled(rule: MatchingRule, value: bytes) -> Test | None:
    """The test of a rule that was asked for by name: RFC 4517 to the letter."""
    text = needle.text_of(value, lenient=False)
    if text is None or not conforms(rule.syntax, text):
        return None
    if rule.use is Use.ORDERING:
        return needle.strict_before(rule.family, text)
    if rule.use is Use.SUBSTRINGS:
        parts = _substring_assertion(text)
        return needle.strict_substrings(rule.family, parts) if len(parts) > 1 else None
    return needle.strict_equality(rule.family, text)


def _substring_assertion(text: str) -> list[str]:
    """RFC 4517 3.3.30: parts between stars; a star or backslash of its own is written as hex behind a backslash."""
    parts = text.split("*")
    return [
        part.replace("\\2a", "*").replace("\\2A", "*").replace("\\5c", "\\").replace("\\5C", "\\") for part in parts
    ]


def _dn_values(dn: str, kind: AttributeType) -> list[str]:
    return [value for rdn in Dn.parse(dn).rdns for name, value in rdn if attribute_type(name) is kind]


def _all(terms: tuple[Term, ...]) -> Term:
    def term(entry: Entry) -> bool | None:
        result: bool | None = True
        for one in terms:
            found = one(entry)
            if found is False:
                return False
            if found is None:
                result = None
        return result

    return term


def _any(terms: tuple[Term, ...]) -> Term:
    def term(entry: Entry) -> bool | None:
        result: bool | None = False
        for one in terms:
            found = one(entry)
            if found:
                return True
            if found is None:
                result = None
        return result

    return term


def _not(negated: Term) -> Term:
    def term(entry: Entry) -> bool | None:
        found = negated(entry)
        return None if found is None else not found

    return term


def _undefined(_entry: Entry) -> None:
    return None


def _false(_entry: Entry) -> bool:
    return False

# SPDX-License-Identifier: MIT
"""A filter made ready: what it says of an entry, where to look for those that it holds for; AND, OR, NOT of such.

Looking for something in an entry's text, which is what a search does most.

From a filter (RFC 4511 4.5.1.7) to its matcher: a function of an entry that is True, False or None (Undefined).

What was asked for is read, folded and parsed here, once; what is left for each entry is a look into its haystacks.
With the function goes the place in an index where the entries are that it may be true for.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from ldapgw.directory import assertion, index_terms, query_plan
from ldapgw.directory.access import NamingContext
from ldapgw.directory.assertion import Assertion, TextPredicate
from ldapgw.directory.dn import Dn
from ldapgw.directory.entry import (
    ALIAS_LETTER,
    ALIAS_TAG,
    ATTRIBUTE_TAGS,
    CN_TAG,
    NAME_TAGS,
    OBJECT_CLASS_TAG,
    SAME_AS_CN,
    TAG_START,
    Entry,
    PackedAttributes,
    attribute_tag,
)
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
from ldapgw.directory.query_plan import Query
from ldapgw.directory.schema import (
    ATTRIBUTE_TYPES,
    AttributeType,
    Family,
    MatchingRule,
    Use,
    attribute_type,
    conforms,
    matching_rule,
    subtypes,
)
from ldapgw.numbers import phone_number


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
        place: Query = None,
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
    place = query_plan.all_of([one.place for one in matchers])
    return Matcher(_Every([one.term for one in said]), place, any(one.calls for one in matchers))


def either(matchers: Sequence[Matcher]) -> Matcher:
    """An OR (RFC 4511 4.5.1.7.1)."""
    if TRUE in matchers:
        return TRUE
    if len(matchers) == 1:
        return matchers[0]
    place = query_plan.any_of([one.place for one in matchers])
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
FALSE: Final = Matcher(_Known(said=False), query_plan.NO_DOCUMENTS)
UNDEFINED: Final = Matcher(_Known(said=None), query_plan.NO_DOCUMENTS)


class Searching:
    """Looks for something in some attributes of entries: what `Entry.haystack` gives, but fast.

    :ivar letters: the signs of the attributes' parts (`Entry.parts`) of which a found entry has one; None: it need not.
    """

    __slots__ = ("_kinds", "_letters", "_marks", "letters")

    def __init__(self, kinds: Sequence[AttributeType]) -> None:
        self._kinds = kinds
        self._marks = [ATTRIBUTE_TAGS[kind.name] for kind in kinds if kind.name in ATTRIBUTE_TAGS]
        self._letters = "".join([mark[1] for mark in self._marks])
        is_plain = len(self._marks) == len(kinds) and OBJECT_CLASS_TAG not in self._marks
        self.letters = frozenset(self._letters + ALIAS_LETTER) if is_plain else None

    def of(self, test: Callable[[str], bool], sure: Sequence[str] = ()) -> Term:
        """Says whether an entry has any of the attributes that pass a test.

        :param test: passes a haystack if it passes one of its lines.
        :param sure: a haystack with one of these in it passes.
        """
        if len(self._kinds) == 1 and OBJECT_CLASS_TAG in self._marks:
            return _OfClass(self._kinds[0], test)
        if self.letters is None:
            return _InHaystacks(self._kinds, test)
        return _AtOnce(self._marks, test, sure, self._letters) if sure else _InParts(self._marks, test)


class _InHaystacks(Term):
    """By whole haystacks: what is operational has no part in a text."""

    __slots__ = ("_kinds", "_test")

    def __init__(self, kinds: Sequence[AttributeType], test: Callable[[str], bool]) -> None:
        self._kinds = kinds
        self._test = test

    def holds(self, entry: Entry) -> bool | None:
        for kind in self._kinds:
            sought = entry.search_text(kind)
            if sought is not None and self._test(sought):
                return True
        return False


class _InParts(Term):
    """By the parts of an entry's text."""

    __slots__ = ("_marks", "_test")

    def __init__(self, marks: Sequence[str], test: Callable[[str], bool]) -> None:
        self._marks = marks
        self._test = test

    def holds(self, entry: Entry) -> bool | None:
        text, test, named = entry.text, self._test, False
        for beginning in self._marks:
            at = text.find(beginning) + 2
            if at > 1:
                sought = text[at : text.index(TAG_START, at)]
                if sought == SAME_AS_CN:
                    at = text.index(CN_TAG) + 2
                    sought = text[at : text.index(TAG_START, at)]
                if test(sought):
                    return True
                named = named or beginning in NAME_TAGS
        at = text.find(ALIAS_TAG) + 2 if named else 0
        return at > 1 and test(text[at : text.index(TAG_START, at)])


class _AtOnce(_InParts):
    """The same for an entry that an index gives: most have what is looked for, in the attributes that are asked for."""

    __slots__ = ("_letters", "_sure")

    def __init__(self, marks: Sequence[str], test: Callable[[str], bool], sure: Sequence[str], letters: str) -> None:
        super().__init__(marks, test)
        self._sure = sure
        self._letters = letters

    def holds(self, entry: Entry) -> bool | None:
        text, letters = entry.text, self._letters
        for one in self._sure:
            at = text.find(one)
            if at > 0 and text[text.rfind(TAG_START, 0, at) + 1] in letters:
                return True
        return super().holds(entry)


class _OfClass(Term):
    """The same of object classes, which all contacts of a book share: they are looked at once, not for each."""

    __slots__ = ("_held", "_kind", "_last", "_test")

    def __init__(self, kind: AttributeType, test: Callable[[str], bool]) -> None:
        self._kind = kind
        self._test = test
        self._last: PackedAttributes | None = None
        self._held = False

    def holds(self, entry: Entry) -> bool | None:
        shared = None if OBJECT_CLASS_TAG in entry.text else entry.shared
        if shared is None or shared is not self._last:
            sought = entry.search_text(self._kind)
            self._last, self._held = shared, sought is not None and self._test(sought)
        return self._held


_Assertion = Equality | Approximate | Substrings | GreaterOrEqual | LessOrEqual

# What is worked out for each entry anew takes about so many looks' time.
_SLOW = 20

# RFC 4517 4.2.4 to 4.2.6 and 4.2.11 to 4.2.13: the rules that compare a Directory String compare all its alternatives,
# which are, of the syntaxes here, Directory String itself, Country String and Telephone Number.
_DIRECTORY_STRING_RULES = frozenset(f"2.5.13.{arc}" for arc in range(2, 8))
_DIRECTORY_STRINGS = frozenset(f"1.3.6.1.4.1.1466.115.121.1.{arc}" for arc in (11, 15, 50))
# A person who asks for one of these rules means any text: mail and postal addresses too.
_TEXTS = _DIRECTORY_STRINGS | {f"1.3.6.1.4.1.1466.115.121.1.{arc}" for arc in (26, 41)}


def prepare(sought: Filter, context: NamingContext) -> Matcher:
    """Make a filter ready (RFC 4511 4.5.1.7)."""
    return _Preparation(context).of(sought)


class _Preparation:
    """One filter being made ready; what it asks of several attributes that are compared alike is read once."""

    def __init__(self, context: NamingContext) -> None:
        self._context = context
        self._needles: dict[object, Assertion | None] = {}
        self._places: dict[tuple[int, str], Query] = {}

    def of(self, sought: Filter) -> Matcher:
        match sought:
            case And(terms):
                return every([self.of(term) for term in terms])
            case Or(terms):
                return self._alike(terms) or either([self.of(term) for term in terms])
            case Not(term):
                return negated(self.of(term))
            case Present(attribute):
                return _present(attribute, self._context)
            case Extensible():
                return _extensible(sought, self._context)
        kind = attribute_type(sought.attribute)
        if kind is None:
            return UNDEFINED
        return either([self._on(one, sought) for one in subtypes(kind)])

    def _alike(self, terms: tuple[Filter, ...]) -> Matcher | None:
        alike = Alike.of(terms, self._context)
        return None if alike is None else alike.as_asked()

    def _on(self, kind: AttributeType, sought: _Assertion) -> Matcher:
        key = type(sought), _asked(sought), assertion.comparison_key(kind)
        if key not in self._needles:
            self._needles[key] = _needle(sought, kind, self._context)
        asked = self._needles[key]
        if asked is None:
            return UNDEFINED
        calls = kind.comparison.family is Family.NUMBER and isinstance(sought, Equality | Approximate)
        return Matcher(Searching((kind,)).of(asked.test, asked.sufficient), self._place(kind, asked), calls)

    def _place(self, kind: AttributeType, asked: Assertion) -> Query:
        # Attributes whose values have the same terms have the same place.
        key = id(asked), (asked.value_range is None and index_terms.term_group(kind)) or kind.name
        if key not in self._places:
            self._places[key] = index_terms.assertion_query(kind, asked, lenient=self._context.lenient)
        return self._places[key]


class Alike:
    """The same asked of several attributes that are compared alike, as phones do: all is ready but what is asked for.

    :ivar sample: one of the terms.
    """

    __slots__ = ("_calls", "_context", "_groups", "_lenient", "_searching", "_whole", "sample")

    def __init__(self, kinds: tuple[AttributeType, ...], sample: Equality | Substrings, context: NamingContext) -> None:
        self._context = context
        self._lenient = context.lenient
        self._searching = Searching(kinds)
        # One of those whose values have the same terms.
        self._groups = tuple({index_terms.term_group(kind) or kind.name: kind for kind in kinds}.values())
        self._whole = isinstance(sample, Equality)
        self._calls = self._whole and kinds[0].comparison.family is Family.NUMBER
        self.sample = sample

    @classmethod
    def of(cls, terms: tuple[Filter, ...], context: NamingContext) -> Alike | None:
        """What the terms of an OR have in common; None if they ask in different ways."""
        first = terms[0] if terms else None
        if not isinstance(first, Equality | Substrings):
            return None
        kinds = []
        for term in terms:
            if type(term) is not type(first) or _asked(term) != _asked(first):
                return None
            kind = attribute_type(term.attribute)
            if kind is None or len(subtypes(kind)) > 1:
                return None
            kinds.append(kind)
        alike = assertion.comparison_key(kinds[0])
        return (
            cls(tuple(kinds), first, context)
            if all(assertion.comparison_key(kind) == alike for kind in kinds)
            else None
        )

    def asking(self, value: bytes) -> Matcher:
        """The matcher of the same terms with another value, where each has one."""
        if self._whole:
            return self._matcher(assertion.equality(self._groups[0], value, self._context))
        return self._matcher(_needle(with_value(self.sample, value), self._groups[0], self._context))

    def as_asked(self) -> Matcher:
        """The matcher of the terms."""
        return self._matcher(_needle(self.sample, self._groups[0], self._context))

    def _matcher(self, asked: Assertion | None) -> Matcher:
        if asked is None:
            return UNDEFINED
        kinds, searching = self._groups, self._searching
        if len(kinds) == 1:
            place = index_terms.assertion_query(kinds[0], asked, lenient=self._lenient)
        else:
            place = query_plan.any_of(
                [index_terms.assertion_query(kind, asked, lenient=self._lenient) for kind in kinds]
            )
        return Matcher(searching.of(asked.test, asked.sufficient), place, self._calls, searching.letters)


def with_value(term: Equality | Substrings, value: bytes) -> Equality | Substrings:
    """The same term, which has one value, with another."""
    if isinstance(term, Equality):
        return Equality(term.attribute, value)
    if term.initial is not None:
        return Substrings(term.attribute, value, (), None)
    if term.any:
        return Substrings(term.attribute, None, (value,), None)
    return Substrings(term.attribute, None, (), value)


def _asked(sought: _Assertion) -> object:
    """What is asked of the attribute, whichever that is."""
    return (sought.initial, sought.any, sought.final) if isinstance(sought, Substrings) else sought.value


def weight(sought: Filter) -> int:
    """About how many looks at an entry a filter costs."""
    match sought:
        case And(terms) | Or(terms):
            return 1 + sum(map(weight, terms))
        case Not(term):
            return 1 + weight(term)
        case Substrings(attribute, any=middle):
            return _weight_of(attribute) + len(middle)
        case Extensible(attribute=None):
            return _SLOW * len(ATTRIBUTE_TYPES)
        case Extensible():
            return _SLOW
        case _:
            return _weight_of(sought.attribute)


def _weight_of(attribute: str) -> int:
    kind = attribute_type(attribute)
    return _SLOW if kind and (kind.operational or assertion.has_list_rule(kind)) else 1


class NumbersNamed(NamedTuple):
    """The telephone numbers that a filter names as a whole, in terms that can make it true.

    :ivar named: attributes with what tells the number in them.
    :ivar place: where the entries are that may have one.
    """

    named: tuple[tuple[AttributeType, TextPredicate], ...]
    place: Query


def numbers_named(sought: Filter, context: NamingContext) -> NumbersNamed:
    """The telephone numbers of a filter."""
    asked = tuple(_numbers_named(sought, context))
    place = query_plan.any_of([index_terms.assertion_query(kind, one, lenient=context.lenient) for kind, one in asked])
    return NumbersNamed(tuple((kind, one.test) for kind, one in asked), place)


def _numbers_named(sought: Filter, context: NamingContext) -> Iterator[tuple[AttributeType, Assertion]]:
    match sought:
        case And(terms) | Or(terms):
            for term in terms:
                yield from _numbers_named(term, context)
        case Equality(attribute, value) | Approximate(attribute, value):
            kind = attribute_type(attribute)
            asked = (
                assertion.equality(kind, value, context) if kind and kind.comparison.family is Family.NUMBER else None
            )
            if kind and asked:
                yield kind, asked


def _needle(sought: _Assertion, kind: AttributeType, context: NamingContext) -> Assertion | None:
    """What a term looks for in one attribute; None: Undefined."""
    if isinstance(sought, Substrings):
        return assertion.substrings(kind, sought.initial, sought.any, sought.final, context)
    if isinstance(sought, Equality):
        return assertion.equality(kind, sought.value, context)
    if isinstance(sought, Approximate):
        return assertion.approximate(kind, sought.value, context)
    return assertion.ordering(kind, sought.value, context, greater=isinstance(sought, GreaterOrEqual))


def _on(kind: AttributeType, asked: Assertion, context: NamingContext) -> Matcher:
    place = index_terms.assertion_query(kind, asked, lenient=context.lenient)
    return Matcher(Searching((kind,)).of(asked.test, asked.sufficient), place)


def _present(attribute: str, context: NamingContext) -> Matcher:
    kind = attribute_type(attribute)
    if kind is None:
        return FALSE if context.lenient else UNDEFINED
    if kind.name == "objectClass":
        return TRUE
    return either([Matcher(_Present(one), index_terms.presence_query(one)) for one in subtypes(kind)])


class _Present(Term):
    __slots__ = ("_kind", "_mark")

    def __init__(self, kind: AttributeType) -> None:
        self._kind = kind
        self._mark = "" if kind.operational else attribute_tag(kind)

    def holds(self, entry: Entry) -> bool | None:
        return self._mark in entry.text if self._mark else entry.search_text(self._kind) is not None


def _extensible(sought: Extensible, context: NamingContext) -> Matcher:
    """RFC 4511 4.5.1.7.7: one attribute or all, by one's own rule or the attribute's, in the DN too if asked."""
    rule = matching_rule(sought.rule) if sought.rule is not None else None
    kind = attribute_type(sought.attribute) if sought.attribute is not None else None
    if (sought.rule is not None and rule is None) or (sought.attribute is not None and kind is None):
        return UNDEFINED
    kinds = [kind] if kind else [each for each in ATTRIBUTE_TYPES if not each.supertype]
    ruled = _ruled(rule, sought.value) if rule else None  # once: the value may be long, and the attributes are many
    own: dict[int, Assertion | None] = {}
    each = [one for kind in kinds for one in subtypes(kind)]
    for one in [] if rule else each:
        if assertion.comparison_key(one) not in own:
            own[assertion.comparison_key(one)] = assertion.equality(one, sought.value, context)
    matchers = [
        _extended(one, rule, ruled if rule else own[assertion.comparison_key(one)], sought, context) for one in each
    ]
    known = [one for one in matchers if one is not None]
    return either(known) if known else UNDEFINED


def _extended(
    kind: AttributeType, rule: MatchingRule | None, asked: Assertion | None, sought: Extensible, context: NamingContext
) -> Matcher | None:
    """The term of one attribute; None where the rule does not compare its values, or makes nothing of the asked one.

    :param asked: by the rule, or without one by the attribute's own.
    """
    if asked is None or (rule is not None and not applies(rule, kind, context)):
        return None
    if not (rule or sought.dn_attributes):
        return _on(kind, asked, context)
    search = _ruled_haystack(rule.family) if rule else _own_haystack(kind, context)

    return Matcher(_Extended(kind, search, asked.test, with_dn=sought.dn_attributes))


class _Extended(Term):
    __slots__ = ("_kind", "_search", "_test", "_with_dn")

    def __init__(
        self, kind: AttributeType, search: Callable[[Iterable[str]], str], test: TextPredicate, *, with_dn: bool
    ) -> None:
        self._kind = kind
        self._search = search
        self._test = test
        self._with_dn = with_dn

    def holds(self, entry: Entry) -> bool | None:
        values = [value.decode() for value in entry.attribute(self._kind.name)]
        if self._with_dn:
            values += _dn_values(entry.dn, self._kind)
        return bool(values) and self._test(self._search(values))


def applies(rule: MatchingRule, kind: AttributeType, context: NamingContext) -> bool:
    """Whether a rule compares an attribute's values (RFC 4512 4.1.4 would call it the rule's use)."""
    if rule.name in (kind.comparison.equality, kind.comparison.ordering, kind.comparison.substrings):
        return True
    return rule.oid in _DIRECTORY_STRING_RULES and kind.comparison.syntax in (
        _TEXTS if context.lenient else _DIRECTORY_STRINGS
    )


def _own_haystack(kind: AttributeType, context: NamingContext) -> Callable[[Iterable[str]], str]:
    """How an attribute's values are searched that do not come from the entry itself."""
    if kind.comparison.family is Family.TEXT and context.lenient:
        return assertion.text_search_text
    if kind.comparison.family is Family.NUMBER and context.lenient:
        return lambda values: assertion.number_search_text(
            filter(None, (phone_number.parse(text, context.region) for text in values))
        )
    return _ruled_haystack(kind.comparison.family)


def _ruled_haystack(family: Family) -> Callable[[Iterable[str]], str]:
    return lambda values: assertion.value_search_text(family, values)


def _ruled(rule: MatchingRule, value: bytes) -> Assertion | None:
    """What a rule looks for that was asked for by name: RFC 4517 to the letter."""
    text = assertion.text_of(value, lenient=False)
    if text is None or not conforms(rule.syntax, text):
        return None
    if rule.use is Use.ORDERING:
        return assertion.strict_less(rule.family, text)
    if rule.use is Use.SUBSTRINGS:
        parts = _substring_assertion(text)
        return assertion.strict_substrings(rule.family, parts) if len(parts) > 1 else None
    return assertion.strict_equality(rule.family, text)


def _substring_assertion(text: str) -> list[str]:
    """RFC 4517 3.3.30: parts between stars; a star or backslash of its own is written as hex behind a backslash."""
    parts = text.split("*")
    return [
        part.replace("\\2a", "*").replace("\\2A", "*").replace("\\5c", "\\").replace("\\5C", "\\") for part in parts
    ]


def _dn_values(dn: str, kind: AttributeType) -> list[str]:
    return [value for rdn in Dn.parse(dn).rdns for name, value in rdn if attribute_type(name) is kind]

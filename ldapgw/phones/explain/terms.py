# SPDX-License-Identifier: MIT
"""The terms of a filter: the text and the attribute of a term, and the test whether a value matches the term.

`matched_terms` explains why an entry matches: the function finds the values of the entry that fulfil terms of the
filter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from ldapgw.directory import assertion, name_folding, normalization
from ldapgw.directory.assertion import Assertion, TextPredicate, asserted_number
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
    to_string,
)
from ldapgw.directory.filter_matcher import asks_number
from ldapgw.directory.naming_context import NamingContext
from ldapgw.directory.schema import NUMBER_TYPES, AttributeType, Family, attribute_type, subtypes
from ldapgw.numbers import Number, phone_number
from ldapgw.phones.explain.model import MatchedTerm, MatchKind
from ldapgw.phones.explain.query import asserted_parts

FilterItem = Equality | Approximate | Substrings | GreaterOrEqual | LessOrEqual | Present | Extensible


@dataclass(frozen=True, slots=True, repr=False)
class FilterTerm:
    """A term of a filter.

    :ivar attribute_type: type of the term's attribute; None if the attribute is unknown or missing.
    :ivar text: the asserted value; for substrings, the parts joined by blanks; empty for presence.
    """

    item: FilterItem
    attribute_type: AttributeType | None
    text: str = ""

    @property
    def family(self) -> Family | None:
        """Return the `Family` of the attribute, which decides by which rules the values of the attribute match."""
        return self.attribute_type.comparison.family if self.attribute_type else None

    @property
    def is_number(self) -> bool:
        """Return whether the term names a complete telephone number."""
        return self.attribute_type is not None and asks_number(self.attribute_type, self.item)

    @property
    def attribute_types(self) -> tuple[AttributeType, ...]:
        """Return the attribute and its subtypes, whose values the term asks for."""
        return subtypes(self.attribute_type) if self.attribute_type else ()

    def tested_types(self, context: NamingContext) -> tuple[AttributeType, ...]:
        """Return the attributes whose values can fulfil the term; for a complete number, all number attributes."""
        if not (self.is_number and context.lenient):
            return self.attribute_types
        return tuple(dict.fromkeys((*self.attribute_types, *NUMBER_TYPES)))


def filter_terms(search_filter: Filter, *, is_positive: bool = True) -> Iterator[FilterTerm]:
    """Yield the terms that can make a filter true: all terms except terms within an odd number of NOTs."""
    match search_filter:
        case And(terms) | Or(terms):
            for term in terms:
                yield from filter_terms(term, is_positive=is_positive)
        case Not(term):
            yield from filter_terms(term, is_positive=not is_positive)
        case _ if is_positive:
            yield _filter_term(search_filter)


def _filter_term(item: FilterItem) -> FilterTerm:
    kind = attribute_type(item.attribute) if item.attribute is not None else None
    texts = (assertion.text_of(part, lenient=True) for part in asserted_parts(item) if part)
    return FilterTerm(item, kind, " ".join(text for text in texts if text))


def term_predicate(item: Filter, kind: AttributeType, context: NamingContext) -> TextPredicate | None:
    """Return a term's test of an attribute's search text; None if the term is Undefined, or tests no search text."""
    match item:
        case Substrings(initial=initial, any=middle, final=final):
            return _predicate(assertion.substrings(kind, initial, middle, final, context))
        case Equality():
            return _predicate(assertion.equality(kind, item.value, context))
        case Approximate():
            return _predicate(assertion.approximate(kind, item.value, context))
        case GreaterOrEqual() | LessOrEqual():
            return _predicate(assertion.ordering(kind, item.value, context, greater=isinstance(item, GreaterOrEqual)))
        case _:
            return None


def _predicate(prepared: Assertion | None) -> TextPredicate | None:
    return None if prepared is None else prepared.test


def as_lenient(context: NamingContext) -> NamingContext:
    """Return the context of the same tenant with lenient matching."""
    return replace(context, lenient=True)


def search_text(entry: Entry, kind: AttributeType, context: NamingContext) -> str | None:
    """Return the lenient search text of an attribute, even if the tenant's matching is strict.

    :returns: the text, or None if the entry does not have the attribute.
    """
    stored = entry.search_text(kind)
    if context.lenient or stored is None or kind.comparison.family not in (Family.TEXT, Family.NUMBER):
        return stored
    values = [value.decode() for value in entry.attribute(kind.name)]
    if kind.comparison.family is Family.TEXT:
        return normalization.text_search_text(values)
    return normalization.number_search_text(number for _, number in numbers_of(entry, kind, context))


def values_with_search_text(entry: Entry, kind: AttributeType, context: NamingContext) -> Iterator[tuple[str, str]]:
    """Yield the values of an attribute, each with its search text under the tenant's matching."""
    values = [value.decode() for value in entry.attribute(kind.name)]
    family = kind.comparison.family
    if context.lenient and family is Family.NUMBER:
        lines = normalization.lines_of(entry.search_text(kind) or "")
        yield from ((value, f"\n{line}\n") for value, line in zip(values, lines, strict=True))
    elif context.lenient and family is Family.TEXT:
        yield from ((value, normalization.text_search_text((value,))) for value in values)
    else:
        yield from ((value, normalization.value_search_text(family, (value,))) for value in values)


def numbers_of(entry: Entry, kind: AttributeType, context: NamingContext) -> Iterator[tuple[str, Number]]:
    """Yield the telephone numbers of an attribute, each as the value and as the parsed number."""
    values = [value.decode() for value in entry.attribute(kind.name)]
    if context.lenient:
        lines = normalization.lines_of(entry.search_text(kind) or "")
        yield from ((value, normalization.number_of(line)) for value, line in zip(values, lines, strict=True))
    else:
        yield from ((value, number) for value in values if (number := phone_number.parse(value, context.region)))


def number_readings(text: str, context: NamingContext) -> Sequence[Number]:
    """Return the ways to read the number that a text asserts, the likeliest first."""
    number = asserted_number(text, context)
    return phone_number.readings(number, context.region, context.outside_line, context.area_code)


def text_variants(term: FilterTerm, context: NamingContext) -> tuple[str, ...]:
    """Return the variants of a term's text that the search tries."""
    if term.family is not Family.TEXT or not term.text:
        return ()
    return name_folding.query_variants(term.text) if context.lenient else (normalization.string(term.text).strip(),)


def several_words(term: FilterTerm, context: NamingContext) -> tuple[str, ...]:
    """Return the typed words that a search looks up one by one; empty if the term has fewer than two words."""
    if not _is_of_words(term, context):
        return ()
    words = tuple(word for word in term.text.split() if name_folding.typed_words(word, open_ended=True))
    return words if 1 < len(words) <= name_folding.MAX_WORDS else ()


def several_keypad_words(term: FilterTerm, context: NamingContext) -> tuple[str, ...]:
    """Return the words that are typed as keypad digits and separated by zeros; empty for fewer than two words."""
    digits = name_folding.keypad_digits(term.text)
    if digits.startswith("0") or not _is_of_words(term, context):
        return ()
    words = tuple(filter(None, digits.split("0")))
    return words if 1 < len(words) <= name_folding.MAX_WORDS else ()


def _is_of_words(term: FilterTerm, context: NamingContext) -> bool:
    """Return whether a term asks for a text whose words a search looks up one by one."""
    match term.item:
        case Substrings(initial=bytes(), any=middle, final=final):
            is_whole = not (any(middle) or final)
        case item:
            is_whole = isinstance(item, Equality | Approximate)
    return is_whole and term.family is Family.TEXT and context.lenient


def is_keypad_term(term: FilterTerm, context: NamingContext) -> bool:
    """Return whether a search reads the digits of a term also as letters on the telephone's keys."""
    return context.lenient and term.family is Family.TEXT and name_folding.keypad_digits(term.text) != ""


def has_number_assertion(search_filter: Filter) -> bool:
    """Return whether a filter asks for a complete number; caller-ID books answer no other searches."""
    return any(term.is_number for term in filter_terms(search_filter))


def matched_terms(entry: Entry, terms: Iterable[FilterTerm], context: NamingContext) -> tuple[MatchedTerm, ...]:
    """Return the terms that an entry fulfils, each with the value that fulfils the term.

    Terms for the presence of an attribute or for an object class are left out if the entry fulfils any other term.
    """
    terms = tuple(terms)
    matched = [match for term in terms for match in _term_matches(entry, term, context)]
    if not matched:
        matched = [match for term in terms if term.is_number for match in _switchboards(entry, term)]
    asked = {match.value for match in matched if match.kind is not MatchKind.OTHER_KIND}
    specific = [
        match
        for match in matched
        if match.kind is not MatchKind.PRESENT
        and match.attribute != "objectClass"
        and (match.kind is not MatchKind.OTHER_KIND or match.value not in asked)
    ]
    return tuple(dict.fromkeys(specific or matched))


def _term_matches(entry: Entry, term: FilterTerm, context: NamingContext) -> list[MatchedTerm]:
    """Return the matches of a term in the attributes that the term names.

    If these attributes have no match, return the matches in other attributes.
    """
    matched = [match for kind in term.tested_types(context) if (match := _matched_term(entry, term, kind, context))]
    names = {kind.name for kind in term.attribute_types}
    return [match for match in matched if match.attribute in names] or matched


def _switchboards(entry: Entry, term: FilterTerm) -> Iterator[MatchedTerm]:
    """Yield the numbers of a company's switchboard that match a caller from one of the company's extensions."""
    for kind in NUMBER_TYPES:
        lines = normalization.lines_of(entry.search_text(kind) or "")
        for value, line in zip(entry.attribute(kind.name), lines, strict=True):
            if normalization.is_switchboard(line):
                yield MatchedTerm(kind.name, value.decode(), to_string(term.item), MatchKind.SWITCHBOARD)


def _matched_term(entry: Entry, term: FilterTerm, kind: AttributeType, context: NamingContext) -> MatchedTerm | None:
    term_text = to_string(term.item)
    if isinstance(term.item, Present):
        return MatchedTerm(kind.name, "", term_text, MatchKind.PRESENT) if entry.search_text(kind) is not None else None
    test = term_predicate(term.item, kind, context)
    if test is None:
        return None
    for value, search_text in values_with_search_text(entry, kind, context):
        if test(search_text):
            match_kind, variant = _match_kind(term, search_text, context)
            if match_kind is MatchKind.NUMBER and kind not in term.attribute_types:
                match_kind = MatchKind.OTHER_KIND
            return MatchedTerm(kind.name, value, term_text, match_kind, variant)
    all_search_text = entry.search_text(kind)
    if all_search_text is None or not test(all_search_text):
        return None
    return MatchedTerm(kind.name, "", term_text, MatchKind.ALSO, next(_other_name_lines(all_search_text, test), ""))


def _other_name_lines(all_search_text: str, test: TextPredicate) -> Iterator[str]:
    """Yield the pronunciations and alternative names in a search text that pass a test."""
    lines = all_search_text.replace("\f", "").split("\n")
    return (line.strip() for line in lines if line and test(f"\n{line}\n"))


def _match_kind(term: FilterTerm, search_text: str, context: NamingContext) -> tuple[MatchKind, str]:
    if isinstance(term.item, GreaterOrEqual | LessOrEqual):
        return MatchKind.VALUE, ""
    if term.family is Family.NUMBER:
        return _number_match_kind(term, search_text, context), ""
    if term.family is not Family.TEXT or not term.text:
        return MatchKind.VALUE, ""
    variant = next((text for text in text_variants(term, context) if text in search_text), "")
    if several_words(term, context) and not variant:
        return MatchKind.SEVERAL_WORDS, ""
    if is_keypad_term(term, context) and not variant:
        return MatchKind.KEYS, _spelled_on_keys(term.text, search_text)
    return (MatchKind.WORDS if context.lenient and _is_prefix_term(term) else MatchKind.VALUE), variant


def _spelled_on_keys(digits: str, search_text: str) -> str:
    """Return the letters of a search text that were typed as keypad digits."""
    for reading in name_folding.keypad_readings(name_folding.keypad_digits(digits)):
        for line in search_text.split("\n"):
            # A line and its keypad digits have the same length, so a position means the same in both texts.
            keyed = name_folding.on_keys(line)
            places = [(keyed.find(word), len(word)) for word in reading.split()]
            if places and all(at >= 0 for at, _ in places):
                return " ".join(line[at : at + length] for at, length in places)
    return ""


def _is_prefix_term(term: FilterTerm) -> bool:
    """Return whether a term has only an initial substring, and so asks for the beginning of a word."""
    match term.item:
        case Substrings(initial=initial, any=(), final=None):
            return bool(initial)
        case _:
            return False


def _number_match_kind(term: FilterTerm, search_text: str, context: NamingContext) -> MatchKind:
    if not (context.lenient and term.is_number):
        return MatchKind.DIGITS
    [line] = normalization.lines_of(search_text)
    readings = number_readings(term.text, context)
    stored = normalization.number_of(line)
    is_same = any(
        number.e164 in (stored.e164, *stored.others) if number.e164 else stored.digits == number.digits
        for number in readings
    )
    return MatchKind.NUMBER if is_same else MatchKind.NUMBER_END

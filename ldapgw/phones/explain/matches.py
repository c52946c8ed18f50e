# SPDX-License-Identifier: MIT
"""Finds out why an entry matches: the values of the entry that fulfil terms of the filter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ldapgw.directory import name_folding, normalization
from ldapgw.directory.access import NamingContext
from ldapgw.directory.assertion import TextPredicate
from ldapgw.directory.entry import Entry
from ldapgw.directory.filter import Approximate, Equality, GreaterOrEqual, LessOrEqual, Present, Substrings, to_string
from ldapgw.directory.schema import AttributeType, Family
from ldapgw.numbers import phone_number
from ldapgw.phones.explain.model import MatchedTerm
from ldapgw.phones.explain.terms import FilterTerm, term_predicate, text_variants, values_with_search_text
from ldapgw.phones.explain.texts import MatchKind


def matched_terms(entry: Entry, terms: Iterable[FilterTerm], context: NamingContext) -> tuple[MatchedTerm, ...]:
    """Return the terms that an entry fulfils, each with the value that fulfils the term.

    Presence of an attribute and the object class are left out, unless the entry fulfils no other term.
    """
    matched = [
        match for term in terms for kind in term.attribute_types if (match := _matched_term(entry, term, kind, context))
    ]
    specific = [match for match in matched if match.kind is not MatchKind.PRESENT and match.attribute != "objectClass"]
    return tuple(dict.fromkeys(specific or matched))


def _matched_term(entry: Entry, term: FilterTerm, kind: AttributeType, context: NamingContext) -> MatchedTerm | None:
    term_text = to_string(term.item)
    if isinstance(term.item, Present):
        return MatchedTerm(kind.name, "", term_text, MatchKind.PRESENT) if entry.search_text(kind) is not None else None
    test = term_predicate(term, kind, context)
    if test is None:
        return None
    for value, search_text in values_with_search_text(entry, kind, context):
        if test(search_text):
            match_kind, variant = _match_kind(term, search_text, context)
            return MatchedTerm(kind.name, value, term_text, match_kind, variant)
    all_search_text = entry.search_text(kind)
    if all_search_text is None or not test(all_search_text):
        return None
    return MatchedTerm(kind.name, "", term_text, MatchKind.ALSO, next(_other_name_lines(all_search_text, test), ""))


def _other_name_lines(all_search_text: str, test: TextPredicate) -> Iterator[str]:
    """Yield the alternative names in a search text that pass a test."""
    _, _, other_names = all_search_text.partition("\f")
    return (line.strip() for line in other_names.split("\n") if line and test(f"\n{line}\n"))


def _match_kind(term: FilterTerm, search_text: str, context: NamingContext) -> tuple[MatchKind, str]:
    if isinstance(term.item, GreaterOrEqual | LessOrEqual):
        return MatchKind.VALUE, ""
    if term.family is Family.NUMBER:
        return _number_match_kind(term, search_text, context), ""
    if term.family is not Family.TEXT or not term.text:
        return MatchKind.VALUE, ""
    pattern = name_folding.keypad_pattern(term.text) if context.lenient else None
    variant = next((text for text in text_variants(term, context) if text in search_text), "")
    if pattern and not variant:
        spelled = pattern.search(search_text)
        return MatchKind.KEYS, spelled[0].strip() if spelled else ""
    return (MatchKind.WORDS if context.lenient and _is_prefix_term(term) else MatchKind.VALUE), variant


def _is_prefix_term(term: FilterTerm) -> bool:
    """Whether a term asks for the beginning of a word only."""
    match term.item:
        case Substrings(initial=initial, any=(), final=None):
            return bool(initial)
        case _:
            return False


def _number_match_kind(term: FilterTerm, search_text: str, context: NamingContext) -> MatchKind:
    if not context.lenient or not isinstance(term.item, Equality | Approximate):
        return MatchKind.DIGITS
    [line] = normalization.lines_of(search_text)
    stored = normalization.number_of(line)
    readings = phone_number.readings(term.text, context.region, context.outside_line)
    is_same = any(stored.e164 == number.e164 if number.e164 else stored.digits == number.digits for number in readings)
    return MatchKind.NUMBER if is_same else MatchKind.NUMBER_END

# SPDX-License-Identifier: MIT
"""The two forms of an explanation: the JSON object of ``ldapgw explain --json``, and lines for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any

from ldapgw.directory.access import BookAccess
from ldapgw.phones.explain.model import (
    TEXTS,
    Explanation,
    ExplanationNote,
    MatchedEntry,
    MatchedTerm,
    MatchKind,
    MissedContact,
    NumberReading,
    NumberVariant,
    SearchedBook,
)
from ldapgw.phones.explain.query import PhoneQuery, QueryKind, is_blank
from ldapgw.phrase import Phrase

_READINGS = {
    NumberReading.TYPED: "{number}",
    NumberReading.WITHOUT_OUTSIDE_LINE: "{number} (without the prefix for an outside line)",
    NumberReading.WITH_PLUS: "{number} (with + before it)",
    NumberReading.WITH_AREA_CODE: "{number} (with the area code)",
}

_BOOKS = {
    BookAccess.OWN: "{name} (the phone's own)",
    BookAccess.SHARED: "{name} (shared)",
    BookAccess.GROUP: "{name} (shared with a group)",
    BookAccess.DIRECTORY: "{name} (the Workspace directory)",
    BookAccess.CALLERS: "{name} (callers' names only)",
}

# The report for people names at most this many books.  The JSON object names all books.
_MAX_BOOKS = 10

_KINDS = {QueryKind.TEXT: "the name", QueryKind.NUMBER: "the number", QueryKind.FILTER: "the filter"}


def explanation_json(explanation: Explanation) -> dict[str, Any]:
    """Return the JSON object of ``ldapgw explain --json``."""
    return {
        "query": {"asked": explanation.query.text, "kind": explanation.query.kind.value},
        "filter": explanation.filter,
        "base": explanation.base,
        "matching": "lenient" if explanation.lenient else "strict",
        "forms": list(explanation.name_variants),
        "keypad": explanation.keypad,
        "numbers": [*map(_texts_json, explanation.numbers)],
        "books": [{"name": book.name, "seen": book.access.value} for book in explanation.books],
        "plan": explanation.plan,
        "found": explanation.entry_count,
        "complete": explanation.complete,
        "matches": [_match_json(match) for match in explanation.matches],
        "misses": [*map(_texts_json, explanation.misses)],
        "more_misses": explanation.more_misses,
        "notes": [*map(_texts_json, explanation.notes)],
    }


def report_lines(explanation: Explanation) -> Iterator[str]:
    """Yield the lines for people.  The details of a line follow on further lines, indented."""
    yield f"Asked for  {_asked(explanation.query)}"
    if explanation.query.kind is not QueryKind.FILTER:
        yield f"Sent as    {explanation.filter}"
    yield f"Tried as   {_tried(explanation)}"
    yield f"Base       {explanation.base}"
    yield f"Searched in  {_books(explanation.books)}"
    if explanation.plan:
        yield f"Looked up  {explanation.plan}"
    yield from _matches(explanation)
    yield from _misses(explanation)
    if explanation.notes:
        yield ""
        yield "Good to know:"
        yield from (f"  {note.message}" for note in explanation.notes)


def _asked(query: PhoneQuery) -> str:
    return "everybody (nothing was typed)" if is_blank(query.text) else f"{_KINDS[query.kind]} {query.text}"


def _tried(explanation: Explanation) -> str:
    variants = [f"“{name}”" for name in explanation.name_variants]
    variants += [_READINGS[variant.reading].format(number=variant.number) for variant in explanation.numbers]
    if explanation.keypad:
        variants.append("the letters on these keys")
    if not explanation.lenient:
        variants.append("typed, by the strict rules of RFC 4517")
    return ", ".join(variants) or "typed"


def _books(books: Sequence[SearchedBook]) -> str:
    shown = [_BOOKS[book.access].format(name=book.name) for book in books[:_MAX_BOOKS]]
    if len(books) > _MAX_BOOKS:
        shown.append(f"and {len(books) - _MAX_BOOKS} more")
    return ", ".join(shown) or "no address book (this phone can’t see any)"


def _matches(explanation: Explanation) -> Iterator[str]:
    yield ""
    if not explanation.entry_count:
        yield "Found: nothing."
        return
    more = "" if explanation.complete else ", and there are more: the answer reached a limit"
    yield f"Found: {explanation.entry_count}{more}."
    for match in explanation.matches:
        flags = "".join(f", {flag}" for flag in _flags(match))
        place = "the tenant's own entry" if match.is_tenant else f"in {match.book}" if match.book else "as a caller"
        yield f"  {match.name}, {place}{flags}"
        yield from (f"    {sentence}" for sentence in (*match_sentences(match), *match.number_notes))
    if explanation.entry_count > len(explanation.matches):
        yield f"  … and {explanation.entry_count - len(explanation.matches)} more."


def _flags(match: MatchedEntry) -> list[str]:
    return [flag for flag in ("favourite", "blocked") if getattr(match.flags, flag)]


def match_sentences(match: MatchedEntry) -> Iterator[Phrase]:
    """Return sentences with the reasons why an entry was found; attributes with the same reason share one sentence."""
    groups: dict[tuple[MatchKind, str, str], list[MatchedTerm]] = {}
    for term in match.matched_terms:
        groups.setdefault((term.kind, term.value, term.variant), []).append(term)
    return map(_match_sentence, groups.values())


def _match_sentence(terms: Sequence[MatchedTerm]) -> Phrase:
    first = terms[0]
    is_obvious = first.kind is not MatchKind.WORDS or not first.variant or first.variant in first.term.lower()
    values = {
        "attribute": ", ".join(dict.fromkeys(term.attribute for term in terms)),
        "value": first.value,
        "term": ", ".join(dict.fromkeys(term.term for term in terms)),
        "form": first.variant,
    }
    return Phrase(TEXTS.matches[first.kind] if is_obvious else TEXTS.word_variant, values)


def _misses(explanation: Explanation) -> Iterator[str]:
    if not explanation.misses:
        return
    yield ""
    yield "Similar contacts that were not found:"
    told: set[str] = set()
    for miss in explanation.misses:
        if miss.name:
            yield f"  {miss.name}, in {miss.book}"
            yield f"    {miss.message}"
        else:
            yield f"  {miss.message}"
        # Several contacts may have the same problem, so each advice is printed only once.
        if str(miss.advice) not in told:
            told.add(str(miss.advice))
            yield f"    → {miss.advice}"
    if explanation.more_misses:
        yield f"  … and {explanation.more_misses} more."


def _match_json(match: MatchedEntry) -> dict[str, Any]:
    matched_terms = [
        {
            "attribute": term.attribute,
            "value": term.value,
            "term": term.term,
            "how": term.kind.value,
            "form": term.variant,
        }
        for term in match.matched_terms
    ]
    return {
        "name": match.name,
        "dn": match.dn,
        "book": match.book,
        "because": matched_terms,
        "flags": _flags(match),
        "numbers": [str(note) for note in match.number_notes],
    }


def _texts_json(value: NumberVariant | MissedContact | ExplanationNote) -> dict[str, str]:
    """Return all fields of a value as texts."""
    return {field.name: str(getattr(value, field.name)) for field in fields(value)}

# SPDX-License-Identifier: MIT
"""An explanation told: as the object of ``ldapgw explain --json``, and as lines for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ldapgw.phones.explain.model import Explanation, Held, Match, Miss, Reading, SearchedBook, Seen
from ldapgw.phones.explain.query import Kind
from ldapgw.phones.explain.texts import HELD, WORDS_AS, How
from ldapgw.phrase import Phrase

_READINGS = {
    Reading.TYPED: "{number}",
    Reading.WITHOUT_OUTSIDE_LINE: "{number} (without the outside line)",
    Reading.WITH_PLUS: "{number} (with + before it)",
}

_BOOKS = {
    Seen.OWN: "{name} (the phone's own)",
    Seen.SHARED: "{name} (shared)",
    Seen.DIRECTORY: "{name} (the Workspace directory)",
    Seen.CALLERS: "{name} (callers' names alone)",
}

# A line; the object has all.
_MOST_BOOKS = 10

_KINDS = {Kind.TEXT: "the name", Kind.NUMBER: "the number", Kind.FILTER: "the filter"}


def explanation_object(told: Explanation) -> dict[str, Any]:
    """The object of ``--json``."""
    return {
        "query": {"asked": told.query.asked, "kind": told.query.kind.value},
        "filter": told.filter,
        "base": told.base,
        "matching": "lenient" if told.lenient else "strict",
        "forms": list(told.forms),
        "keypad": told.keypad,
        "numbers": [{"number": one.number, "reading": one.reading.value} for one in told.numbers],
        "books": [{"name": book.name, "seen": book.seen.value} for book in told.books],
        "plan": told.plan,
        "found": told.found,
        "complete": told.complete,
        "matches": [_match_object(match) for match in told.matches],
        "misses": [_miss_object(miss) for miss in told.misses],
        "more_misses": told.more_misses,
        "notes": [{"code": note.code, "message": str(note.message)} for note in told.notes],
    }


def lines(told: Explanation) -> Iterator[str]:
    """The same for people; what belongs to a line above it is indented."""
    yield f"Asked for  {_KINDS[told.query.kind]} {told.query.asked}"
    if told.query.kind is not Kind.FILTER:
        yield f"Sent as    {told.filter}"
    yield f"Tried as   {_tried(told)}"
    yield f"Below      {told.base}"
    yield f"Looked in  {_books(told.books)}"
    if told.plan:
        yield f"Found by   {told.plan}"
    yield from _matches(told)
    yield from _misses(told)
    if told.notes:
        yield ""
        yield "Good to know:"
        yield from (f"  {note.message}" for note in told.notes)


def _tried(told: Explanation) -> str:
    forms = [f"“{form}”" for form in told.forms]
    forms += [_READINGS[one.reading].format(number=one.number) for one in told.numbers]
    if told.keypad:
        forms.append("the letters on these keys")
    if not told.lenient:
        forms.append("it stands, by the letter of RFC 4517")
    return ", ".join(forms) or "it stands"


def _books(books: Sequence[SearchedBook]) -> str:
    shown = [_BOOKS[book.seen].format(name=book.name) for book in books[:_MOST_BOOKS]]
    if len(books) > _MOST_BOOKS:
        shown.append(f"and {len(books) - _MOST_BOOKS} more")
    return ", ".join(shown) or "no book: there is none that this phone sees"


def _matches(told: Explanation) -> Iterator[str]:
    yield ""
    if not told.found:
        yield "Found: nothing."
        return
    yield f"Found: {told.found}{'' if told.complete else ', and there are more: a limit has cut the answer'}."
    for match in told.matches:
        yield f"  {match.name}, {_place(match)}"
        yield from (f"    {sentence}" for sentence in because(match))
    if told.found > len(told.matches):
        yield f"  … and {told.found - len(told.matches)} more."


def _place(match: Match) -> str:
    """Whose entry a match is."""
    if match.is_tenant:
        return "the tenant's own entry"
    return f"in {match.book}" if match.book else "as a caller"


def because(match: Match) -> Iterator[Phrase]:
    """Why an entry was found; the reasons that differ in the attribute alone are one."""
    found: dict[tuple[How, str, str], list[Held]] = {}
    for held in match.held:
        found.setdefault((held.how, held.value, held.form), []).append(held)
    return map(_sentence, found.values())


def _sentence(together: Sequence[Held]) -> Phrase:
    first = together[0]
    plain = first.how is not How.WORDS or not first.form or first.form in first.term.lower()
    told = {
        "attribute": ", ".join(dict.fromkeys(held.attribute for held in together)),
        "value": first.value,
        "term": ", ".join(dict.fromkeys(held.term for held in together)),
        "form": first.form,
    }
    return Phrase(HELD[first.how] if plain else WORDS_AS, told)


def _misses(told: Explanation) -> Iterator[str]:
    if not told.misses:
        return
    yield ""
    yield "Similar contacts that were not found:"
    for miss in told.misses:
        if miss.name:
            yield f"  {miss.name}, in {miss.book}"
            yield f"    {miss.message}"
        else:
            yield f"  {miss.message}"
        yield f"    → {miss.advice}"
    if told.more_misses:
        yield f"  … and {told.more_misses} more."


def _match_object(match: Match) -> dict[str, Any]:
    held = [
        {"attribute": one.attribute, "value": one.value, "term": one.term, "how": one.how.value, "form": one.form}
        for one in match.held
    ]
    return {"name": match.name, "dn": match.dn, "book": match.book, "because": held}


def _miss_object(miss: Miss) -> dict[str, Any]:
    return {
        "reason": miss.reason.value,
        "name": miss.name,
        "dn": miss.dn,
        "book": miss.book,
        "message": str(miss.message),
        "advice": str(miss.advice),
    }

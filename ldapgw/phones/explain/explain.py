# SPDX-License-Identifier: MIT
"""Where a search looks, in words: the terms of the index (`ldapgw.directory.index_terms`) that its filter leads to.

Behind each stands to how many entries it leads, which are then looked at one by one.  Of those of an AND the rarest is
taken, which comes first here.

What concerns a whole query or a whole book: terms that can never be true, and syncs that have not brought all.

The door: a query of a phone explained.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from heapq import nsmallest

from ldapgw.directory import name_folding
from ldapgw.directory.access import NamingContext
from ldapgw.directory.assertion import NUMBER_END
from ldapgw.directory.book import Book
from ldapgw.directory.entry import Entry
from ldapgw.directory.filter import Approximate, Equality, Extensible, to_string
from ldapgw.directory.filter_matcher import prepare
from ldapgw.directory.query_plan import AndQuery, ExactKey, NameRange, OrQuery, Query, TermRange, ValueRange
from ldapgw.directory.schema import Family
from ldapgw.directory.segment import Segment
from ldapgw.numbers import phone_number
from ldapgw.phones.explain.matches import matched_terms
from ldapgw.phones.explain.misses import MissFinder
from ldapgw.phones.explain.model import (
    OPERATOR,
    BookSyncState,
    Explanation,
    ExplanationNote,
    ExplanationReader,
    MatchedEntry,
    NumberReading,
    NumberVariant,
    SearchedBook,
)
from ldapgw.phones.explain.query import PhoneQuery as PhoneQuery
from ldapgw.phones.explain.terms import FilterTerm, filter_terms, text_variants
from ldapgw.phones.explain.view import PhoneView, book_of, name_of
from ldapgw.phrase import Phrase, gettext_noop

_INDEX_FIELDS = {"N": "names", "M": "mail addresses", "O": "other words"}

# A line; three digits on the keys spell 64 beginnings.
_MAX_TEXTS = 4


def describe_plan(plan: Query, segments: Sequence[Segment]) -> str:
    """How the entries are found that are then looked at one by one.

    :param shelves: those that are searched.
    """
    if not isinstance(plan, AndQuery):
        return f"{_describe(plan)} ({_count(plan, segments)})"
    sides = sorted((_count(side, segments), _describe(side)) for side in plan.queries)
    return "the rarest of: " + "; ".join(f"{where} ({count})" for count, where in sides)


def _count(plan: Query, segments: Iterable[Segment]) -> int:
    return sum(len(shelf.find_documents(plan)) for shelf in segments)


def _describe(plan: Query) -> str:
    match plan:
        case None:
            return "no index helps: each entry is looked at"
        case AndQuery(places):
            return "the rarest of: " + ", ".join(map(_describe, places))
        case OrQuery(places):
            return _join_by_kind(map(_kind_and_text, places)) if places else "nothing can have that"
        case _:
            return _join_by_kind([_kind_and_text(plan)])


def _join_by_kind(parts: Iterable[tuple[str, str]]) -> str:
    """Those of one kind together: names that begin with "a" or "b"."""
    found: dict[str, list[str]] = {}
    for what, text in sorted(parts):
        found.setdefault(what, []).append(text)
    return ", ".join(f"{what} {_join_texts(texts)}".rstrip() for what, texts in found.items())


def _join_texts(texts: Sequence[str]) -> str:
    if len(texts) > _MAX_TEXTS:
        return f"{' or '.join(texts[:_MAX_TEXTS])} or {len(texts) - _MAX_TEXTS} more"
    return " or ".join(texts)


def _kind_and_text(plan: Query) -> tuple[str, str]:
    """What is looked for, and the text of it."""
    match plan:
        case ExactKey(key=key):
            return ("numbers that end in" if key.startswith(NUMBER_END) else "the uid"), f'"{key[1:]}"'
        case TermRange(low, _):
            return _index_term_text(low, begins=True)
        case str():
            return _index_term_text(plan, begins=plan[1] != "w")
        case ValueRange() | NameRange():
            return "the order of values", ""
        case _:
            return _describe(plan), ""


def _index_term_text(term: str, *, begins: bool) -> tuple[str, str]:
    field, kind, text = term[0], term[1], f'"{term[2:]}"'
    if field == "P":
        return "entries that have the attribute", ""
    if field == "C":
        return "entries of the object class", ""
    what = _INDEX_FIELDS.get(field, "numbers")
    if kind == "t":
        return f"{what} with", text
    return (f"{what} that begin with" if begins or field == "D" else what), text


_UNKNOWN = gettext_noop("%(term)s is never true: no entry here has that attribute.")
_EMPTY = gettext_noop("%(term)s is never true: a caller without a number is nobody.")
_NO_NUMBER = gettext_noop("%(term)s is never true: that is no telephone number.")
_CALLER_FILTER = gettext_noop(
    "So few digits are looked for as if they were typed. When it rings, the phone sends %(filter)s."
)
_SYNC_ERROR = gettext_noop("The last sync of %(book)s failed. %(trouble)s")

_STATES = {
    "waiting": gettext_noop("The first sync of %(book)s has not ended yet; its contacts come with it."),
    "disconnected": gettext_noop("%(book)s is not connected to Google, so none of its contacts are here."),
}

# By the reasons of an account's ``skipped``.
_LEFT_OUT = {
    "empty": gettext_noop(
        "Left out of %(book)s, as they have no name, company, number, e-mail or postal address: %(count)s."
    ),
    "label": gettext_noop("Left out of %(book)s, as they have none of the labels that are chosen here: %(count)s."),
    "unidentified": gettext_noop("Left out of %(book)s, as Google gave no id: %(count)s."),
    "unreadable_number": gettext_noop(
        "Numbers in %(book)s that cannot be dialled, so that their contacts are there without: %(count)s."
    ),
}


def query_notes(
    query: PhoneQuery, terms: Iterable[FilterTerm], context: NamingContext, states: Iterable[BookSyncState]
) -> tuple[ExplanationNote, ...]:
    """All that there is to say, each once."""
    found = (
        [ExplanationNote("ringing", Phrase(_CALLER_FILTER, {"filter": to_string(query.caller_filter)}))]
        if query.caller_filter
        else []
    )
    found += [note for leaf in terms for note in _term_notes(leaf, context)]
    found += [note for state in states for note in _book_notes(state)]
    return tuple({str(note.message): note for note in found}.values())


def _term_notes(term: FilterTerm, context: NamingContext) -> Iterator[ExplanationNote]:
    term_text = to_string(term.item)
    if term.attribute_type is None and not isinstance(term.item, Extensible):
        yield ExplanationNote("unknown_attribute", Phrase(_UNKNOWN, {"term": term_text}))
    if term.family is not Family.NUMBER or not context.lenient or not isinstance(term.item, Equality | Approximate):
        return
    if not term.text.strip():
        yield ExplanationNote("empty_number", Phrase(_EMPTY, {"term": term_text}))
    elif not phone_number.readings(term.text, context.region, context.outside_line):
        yield ExplanationNote("no_number", Phrase(_NO_NUMBER, {"term": term_text}))


def _book_notes(book: BookSyncState) -> Iterator[ExplanationNote]:
    if book.state in _STATES:
        yield ExplanationNote(book.state, Phrase(_STATES[book.state], {"book": book.name}))
    if book.error:
        yield ExplanationNote("trouble", Phrase(_SYNC_ERROR, {"book": book.name, "trouble": book.error}))
    for reason, count in book.skipped.items():
        if reason in _LEFT_OUT:
            yield ExplanationNote("left_out", Phrase(_LEFT_OUT[reason], {"book": book.name, "count": count}))


# What a person reads; the rest is counted.
MAX_MATCHES = 50
MAX_MISSES = 10


def explain(
    query: PhoneQuery,
    view: PhoneView,
    *,
    private: Iterable[Book] = (),
    states: Iterable[BookSyncState] = (),
    size_limit: int,
    base: str = "",
    reader: ExplanationReader = OPERATOR,
) -> Explanation:
    """Explain what a phone finds and what it does not.

    :param private: the tenant's books that the phone does not see; taken one by one, once.
    :param states: of the books that it sees.
    :param size_limit: most entries in one answer.
    :param base: where the search begins; empty: at the tenant's base.
    :param reader: whom it is told to.
    :raises DirectoryError: when the base is no DN, or there is no such entry for this phone.
    """
    context = view.context
    base = base or str(context.base)
    result = view.search(query.filter, base, size_limit)
    terms = tuple(filter_terms(query.filter))
    misses = [*MissFinder(query.filter, view, result, base, reader).find(private)]
    if result.entries:
        misses = [one for one in misses if one.has_query]
    nearest = nsmallest(MAX_MISSES, misses)
    return Explanation(
        query=query,
        filter=to_string(query.filter),
        base=base,
        lenient=context.lenient,
        name_variants=tuple(dict.fromkeys(form for leaf in terms for form in text_variants(leaf, context))),
        keypad=context.lenient and any(map(_is_keypad_term, terms)),
        numbers=_distinct_numbers(form for leaf in terms for form in _number_variants(leaf, context)),
        books=tuple(SearchedBook(book.name, seen) for book, seen in view.books()),
        matches=tuple(_match(entry, terms, context) for entry in result.entries[:MAX_MATCHES]),
        entry_count=len(result.entries),
        complete=result.complete,
        misses=tuple(one.miss for one in nearest),
        more_misses=len(misses) - len(nearest),
        plan=describe_plan(prepare(query.filter, context).query, tuple(view.segments())),
        notes=query_notes(query, terms, context, states),
    )


def _match(entry: Entry, terms: Iterable[FilterTerm], context: NamingContext) -> MatchedEntry:
    is_tenant = entry.dn == str(context.base)
    return MatchedEntry(
        name_of(entry), entry.dn, book_of(entry, context), matched_terms(entry, terms, context), is_tenant
    )


def _is_keypad_term(term: FilterTerm) -> bool:
    return term.family is Family.TEXT and name_folding.keypad_pattern(term.text) is not None


def _number_variants(term: FilterTerm, context: NamingContext) -> Iterator[NumberVariant]:
    """The numbers that one that is asked for may mean."""
    if term.family is not Family.NUMBER or not context.lenient:
        return
    readings = phone_number.readings(term.text, context.region, context.outside_line)
    for one in readings:
        if one.digits == readings[0].digits:
            how = NumberReading.TYPED if one.e164 == readings[0].e164 else NumberReading.WITH_PLUS
        else:
            how = NumberReading.WITHOUT_OUTSIDE_LINE
        yield NumberVariant(one.e164 or one.digits, how)


def _distinct_numbers(variants: Iterable[NumberVariant]) -> tuple[NumberVariant, ...]:
    """Each number in its first reading."""
    found: dict[str, NumberVariant] = {}
    for form in variants:
        found.setdefault(form.number, form)
    return tuple(found.values())

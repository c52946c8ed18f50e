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
from ldapgw.phones.explain.matches import holding
from ldapgw.phones.explain.misses import Searcher
from ldapgw.phones.explain.model import (
    OPERATOR,
    BookState,
    Explanation,
    Match,
    Note,
    NumberForm,
    Reader,
    Reading,
    SearchedBook,
)
from ldapgw.phones.explain.query import Query as PhoneQuery
from ldapgw.phones.explain.terms import Leaf, forms_of, leaves
from ldapgw.phones.explain.view import Sight, book_of, name_of
from ldapgw.phrase import Phrase, marked

_OF = {"N": "names", "M": "mail addresses", "O": "other words"}

# A line; three digits on the keys spell 64 beginnings.
_MOST_TEXTS = 4


def found_by(place: Query, shelves: Sequence[Segment]) -> str:
    """How the entries are found that are then looked at one by one.

    :param shelves: those that are searched.
    """
    if not isinstance(place, AndQuery):
        return f"{_where(place)} ({_count(place, shelves)})"
    sides = sorted((_count(side, shelves), _where(side)) for side in place.queries)
    return "the rarest of: " + "; ".join(f"{where} ({count})" for count, where in sides)


def _count(place: Query, shelves: Iterable[Segment]) -> int:
    return sum(len(shelf.find_documents(place)) for shelf in shelves)


def _where(place: Query) -> str:
    match place:
        case None:
            return "no index helps: each entry is looked at"
        case AndQuery(places):
            return "the rarest of: " + ", ".join(map(_where, places))
        case OrQuery(places):
            return _joined(map(_said, places)) if places else "nothing can have that"
        case _:
            return _joined([_said(place)])


def _joined(said: Iterable[tuple[str, str]]) -> str:
    """Those of one kind together: names that begin with "a" or "b"."""
    found: dict[str, list[str]] = {}
    for what, text in sorted(said):
        found.setdefault(what, []).append(text)
    return ", ".join(f"{what} {_listed(texts)}".rstrip() for what, texts in found.items())


def _listed(texts: Sequence[str]) -> str:
    if len(texts) > _MOST_TEXTS:
        return f"{' or '.join(texts[:_MOST_TEXTS])} or {len(texts) - _MOST_TEXTS} more"
    return " or ".join(texts)


def _said(place: Query) -> tuple[str, str]:
    """What is looked for, and the text of it."""
    match place:
        case ExactKey(key=key):
            return ("numbers that end in" if key.startswith(NUMBER_END) else "the uid"), f'"{key[1:]}"'
        case TermRange(low, _):
            return _of_term(low, begins=True)
        case str():
            return _of_term(place, begins=place[1] != "w")
        case ValueRange() | NameRange():
            return "the order of values", ""
        case _:
            return _where(place), ""


def _of_term(term: str, *, begins: bool) -> tuple[str, str]:
    of, kind, text = term[0], term[1], f'"{term[2:]}"'
    if of == "P":
        return "entries that have the attribute", ""
    if of == "C":
        return "entries of the object class", ""
    what = _OF.get(of, "numbers")
    if kind == "t":
        return f"{what} with", text
    return (f"{what} that begin with" if begins or of == "D" else what), text


_UNKNOWN = marked("%(term)s is never true: no entry here has that attribute.")
_EMPTY = marked("%(term)s is never true: a caller without a number is nobody.")
_NO_NUMBER = marked("%(term)s is never true: that is no telephone number.")
_RINGING = marked("So few digits are looked for as if they were typed. When it rings, the phone sends %(filter)s.")
_TROUBLE = marked("The last sync of %(book)s failed. %(trouble)s")

_STATES = {
    "waiting": marked("The first sync of %(book)s has not ended yet; its contacts come with it."),
    "disconnected": marked("%(book)s is not connected to Google, so none of its contacts are here."),
}

# By the reasons of an account's ``skipped``.
_LEFT_OUT = {
    "empty": marked(
        "Left out of %(book)s, as they have no name, company, number, e-mail or postal address: %(count)s."
    ),
    "label": marked("Left out of %(book)s, as they have none of the labels that are chosen here: %(count)s."),
    "unidentified": marked("Left out of %(book)s, as Google gave no id: %(count)s."),
    "unreadable_number": marked(
        "Numbers in %(book)s that cannot be dialled, so that their contacts are there without: %(count)s."
    ),
}


def notes(
    query: PhoneQuery, leaves: Iterable[Leaf], context: NamingContext, states: Iterable[BookState]
) -> tuple[Note, ...]:
    """All that there is to say, each once."""
    found = [Note("ringing", Phrase(_RINGING, {"filter": to_string(query.ringing)}))] if query.ringing else []
    found += [note for leaf in leaves for note in _of_leaf(leaf, context)]
    found += [note for state in states for note in _of_book(state)]
    return tuple({str(note.message): note for note in found}.values())


def _of_leaf(leaf: Leaf, context: NamingContext) -> Iterator[Note]:
    term = to_string(leaf.term)
    if leaf.kind is None and not isinstance(leaf.term, Extensible):
        yield Note("unknown_attribute", Phrase(_UNKNOWN, {"term": term}))
    if leaf.family is not Family.NUMBER or not context.lenient or not isinstance(leaf.term, Equality | Approximate):
        return
    if not leaf.text.strip():
        yield Note("empty_number", Phrase(_EMPTY, {"term": term}))
    elif not phone_number.readings(leaf.text, context.region, context.outside_line):
        yield Note("no_number", Phrase(_NO_NUMBER, {"term": term}))


def _of_book(book: BookState) -> Iterator[Note]:
    if book.state in _STATES:
        yield Note(book.state, Phrase(_STATES[book.state], {"book": book.name}))
    if book.trouble:
        yield Note("trouble", Phrase(_TROUBLE, {"book": book.name, "trouble": book.trouble}))
    for reason, count in book.skipped.items():
        if reason in _LEFT_OUT:
            yield Note("left_out", Phrase(_LEFT_OUT[reason], {"book": book.name, "count": count}))


# What a person reads; the rest is counted.
MOST_MATCHES = 50
MOST_MISSES = 10


def explain(
    query: PhoneQuery,
    sight: Sight,
    *,
    private: Iterable[Book] = (),
    states: Iterable[BookState] = (),
    size_limit: int,
    base: str = "",
    reader: Reader = OPERATOR,
) -> Explanation:
    """Explain what a phone finds and what it does not.

    :param private: the tenant's books that the phone does not see; taken one by one, once.
    :param states: of the books that it sees.
    :param size_limit: most entries in one answer.
    :param base: where the search begins; empty: at the tenant's base.
    :param reader: whom it is told to.
    :raises DirectoryError: when the base is no DN, or there is no such entry for this phone.
    """
    context = sight.context
    base = base or str(context.base)
    answer = sight.answer(query.filter, base, size_limit)
    wanted = tuple(leaves(query.filter))
    misses = [*Searcher(query.filter, sight, answer, base, reader).search(private)]
    if answer.entries:
        misses = [one for one in misses if one.has_it]
    nearest = nsmallest(MOST_MISSES, misses)
    return Explanation(
        query=query,
        filter=to_string(query.filter),
        base=base,
        lenient=context.lenient,
        forms=tuple(dict.fromkeys(form for leaf in wanted for form in forms_of(leaf, context))),
        keypad=context.lenient and any(map(_is_dialled, wanted)),
        numbers=_each_once(form for leaf in wanted for form in _numbers(leaf, context)),
        books=tuple(SearchedBook(book.name, seen) for book, seen in sight.books()),
        matches=tuple(_match(entry, wanted, context) for entry in answer.entries[:MOST_MATCHES]),
        found=len(answer.entries),
        complete=answer.complete,
        misses=tuple(one.miss for one in nearest),
        more_misses=len(misses) - len(nearest),
        plan=found_by(prepare(query.filter, context).place, tuple(sight.shelves())),
        notes=notes(query, wanted, context, states),
    )


def _match(entry: Entry, wanted: Iterable[Leaf], context: NamingContext) -> Match:
    is_tenant = entry.dn == str(context.base)
    return Match(name_of(entry), entry.dn, book_of(entry, context), holding(entry, wanted, context), is_tenant)


def _is_dialled(leaf: Leaf) -> bool:
    return leaf.family is Family.TEXT and name_folding.keypad_pattern(leaf.text) is not None


def _numbers(leaf: Leaf, context: NamingContext) -> Iterator[NumberForm]:
    """The numbers that one that is asked for may mean."""
    if leaf.family is not Family.NUMBER or not context.lenient:
        return
    readings = phone_number.readings(leaf.text, context.region, context.outside_line)
    for one in readings:
        if one.digits == readings[0].digits:
            how = Reading.TYPED if one.e164 == readings[0].e164 else Reading.WITH_PLUS
        else:
            how = Reading.WITHOUT_OUTSIDE_LINE
        yield NumberForm(one.e164 or one.digits, how)


def _each_once(forms: Iterable[NumberForm]) -> tuple[NumberForm, ...]:
    """Each number in its first reading."""
    found: dict[str, NumberForm] = {}
    for form in forms:
        found.setdefault(form.number, form)
    return tuple(found.values())

# SPDX-License-Identifier: MIT
"""The door: a query of a phone explained."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import nsmallest

from ldapgw import number
from ldapgw.directory import fold
from ldapgw.directory.book import Book
from ldapgw.directory.entry import Entry
from ldapgw.directory.matching import prepare
from ldapgw.directory.naming import NamingContext
from ldapgw.directory.notation import written
from ldapgw.directory.schema import Family
from ldapgw.explain.explanation import BookState, Explanation, Match, NumberForm, Reading, SearchedBook
from ldapgw.explain.found_by import found_by
from ldapgw.explain.holding import holding
from ldapgw.explain.leaf import Leaf, forms_of, leaves
from ldapgw.explain.misses import Searcher
from ldapgw.explain.notes import notes
from ldapgw.explain.one_book import book_of, name_of
from ldapgw.explain.query import Query
from ldapgw.explain.reader import OPERATOR, Reader
from ldapgw.explain.sight import Sight

# What a person reads; the rest is counted.
MOST_MATCHES = 50
MOST_MISSES = 10


def explain(
    query: Query,
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
        filter=written(query.filter),
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
    return leaf.family is Family.TEXT and fold.keypad(leaf.text) is not None


def _numbers(leaf: Leaf, context: NamingContext) -> Iterator[NumberForm]:
    """The numbers that one that is asked for may mean."""
    if leaf.family is not Family.NUMBER or not context.lenient:
        return
    readings = number.readings(leaf.text, context.region, context.outside_line)
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

# SPDX-License-Identifier: MIT
"""What concerns a whole query or a whole book: terms that can never be true, and syncs that have not brought all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ldapgw import number
from ldapgw.directory.filters import Approximate, Equality, Extensible
from ldapgw.directory.naming import NamingContext
from ldapgw.directory.notation import written
from ldapgw.directory.schema import Family
from ldapgw.explain.explanation import BookState, Note
from ldapgw.explain.leaf import Leaf
from ldapgw.explain.query import Query
from ldapgw.words import Phrase, marked

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
    query: Query, leaves: Iterable[Leaf], context: NamingContext, states: Iterable[BookState]
) -> tuple[Note, ...]:
    """All that there is to say, each once."""
    found = [Note("ringing", Phrase(_RINGING, {"filter": written(query.ringing)}))] if query.ringing else []
    found += [note for leaf in leaves for note in _of_leaf(leaf, context)]
    found += [note for state in states for note in _of_book(state)]
    return tuple({str(note.message): note for note in found}.values())


def _of_leaf(leaf: Leaf, context: NamingContext) -> Iterator[Note]:
    term = written(leaf.term)
    if leaf.kind is None and not isinstance(leaf.term, Extensible):
        yield Note("unknown_attribute", Phrase(_UNKNOWN, {"term": term}))
    if leaf.family is not Family.NUMBER or not context.lenient or not isinstance(leaf.term, Equality | Approximate):
        return
    if not leaf.text.strip():
        yield Note("empty_number", Phrase(_EMPTY, {"term": term}))
    elif not number.readings(leaf.text, context.region, context.outside_line):
        yield Note("no_number", Phrase(_NO_NUMBER, {"term": term}))


def _of_book(book: BookState) -> Iterator[Note]:
    if book.state in _STATES:
        yield Note(book.state, Phrase(_STATES[book.state], {"book": book.name}))
    if book.trouble:
        yield Note("trouble", Phrase(_TROUBLE, {"book": book.name, "trouble": book.trouble}))
    for reason, count in book.skipped.items():
        if reason in _LEFT_OUT:
            yield Note("left_out", Phrase(_LEFT_OUT[reason], {"book": book.name, "count": count}))

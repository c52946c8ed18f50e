# SPDX-License-Identifier: MIT
"""What concerns a whole query or a whole book: terms that can never be true, and syncs that have not brought all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ldapgw import number
from ldapgw.directory.filters import Approximate, Equality, Extensible
from ldapgw.directory.naming import NamingContext
from ldapgw.directory.schema import Family
from ldapgw.explain.explanation import BookState, Note
from ldapgw.explain.leaf import Leaf
from ldapgw.explain.notation import text_of

_STATES = {
    "waiting": "The first sync of {book} has not ended yet; its contacts come with it.",
    "disconnected": "{book} is not connected to Google, so none of its contacts are here.",
}

# By the reasons of an account's ``skipped``; one of it, more of it.
_LEFT_OUT = {
    "empty": ("person", "persons", "left out of {book}: no name, company, number, e-mail or postal address"),
    "label": ("person", "persons", "left out of {book}: none of the labels that the tenant's settings ask for"),
    "unidentified": ("person", "persons", "left out of {book}: Google gave no id"),
    "unreadable_number": ("number", "numbers", "left out of {book}: not to be dialled; the contacts are there without"),
}


def notes(leaves: Iterable[Leaf], context: NamingContext, states: Iterable[BookState]) -> tuple[Note, ...]:
    """All that there is to say, each once."""
    found = [note for leaf in leaves for note in _of_leaf(leaf, context)]
    found += [note for state in states for note in _of_book(state)]
    return tuple(dict.fromkeys(found))


def _of_leaf(leaf: Leaf, context: NamingContext) -> Iterator[Note]:
    term = text_of(leaf.term)
    if leaf.kind is None and not isinstance(leaf.term, Extensible):
        yield Note("unknown_attribute", f"{term} is never true: no entry here has that attribute.")
    if leaf.family is not Family.NUMBER or not context.lenient or not isinstance(leaf.term, Equality | Approximate):
        return
    if not leaf.text.strip():
        yield Note("empty_number", f"{term} is never true: a caller without a number is nobody.")
    elif not number.readings(leaf.text, context.region, context.outside_line):
        yield Note("no_number", f"{term} is never true: that is no telephone number.")


def _of_book(book: BookState) -> Iterator[Note]:
    if book.state in _STATES:
        yield Note(book.state, _STATES[book.state].format(book=book.name))
    if book.trouble:
        yield Note("trouble", f"The last sync of {book.name} failed. {book.trouble}")
    for reason, count in book.skipped.items():
        if reason in _LEFT_OUT:
            one, more, told = _LEFT_OUT[reason]
            were = f"1 {one} was" if count == 1 else f"{count} {more} were"
            yield Note("left_out", f"{were} {told.format(book=book.name)}.")

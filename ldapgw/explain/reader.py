# SPDX-License-Identifier: MIT
"""Who reads an explanation, and so what it may tell."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reader:
    """A person.

    :ivar discreet: of books that the phone does not see, or not whole, nothing is told; to administrators that a whole
        number is in one of them.
    :ivar books: the keys of the reader's own books, of which everything is told all the same.
    :ivar administers: whether advice may name commands and settings.
    """

    discreet: bool = False
    books: frozenset[str] = frozenset()
    administers: bool = True


# At the command line, who may read the database anyway; and at a page, somebody of whom nothing else is known.
OPERATOR = Reader()
USER = Reader(discreet=True, administers=False)

# SPDX-License-Identifier: MIT
"""Where a search looks, in words: the terms of the index (`ldapgw.directory.terms`) that its filter leads to.

Behind each stands to how many entries it leads, which are then looked at one by one.  Of those of an AND the rarest is
taken, which comes first here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ldapgw.directory.needle import ENDING
from ldapgw.directory.plan import Between, Each, Either, Key, Named, Place, Span
from ldapgw.directory.shelf import Shelf

_OF = {"N": "names", "M": "mail addresses", "O": "other words"}

# A line; three digits on the keys spell 64 beginnings.
_MOST_TEXTS = 4


def found_by(place: Place, shelves: Sequence[Shelf]) -> str:
    """How the entries are found that are then looked at one by one.

    :param shelves: those that are searched.
    """
    if not isinstance(place, Each):
        return f"{_where(place)} ({_count(place, shelves)})"
    sides = sorted((_count(side, shelves), _where(side)) for side in place.places)
    return "the rarest of: " + "; ".join(f"{where} ({count})" for count, where in sides)


def _count(place: Place, shelves: Iterable[Shelf]) -> int:
    return sum(len(shelf.find(place)) for shelf in shelves)


def _where(place: Place) -> str:
    match place:
        case None:
            return "no index helps: each entry is looked at"
        case Each(places):
            return "the rarest of: " + ", ".join(map(_where, places))
        case Either(places):
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


def _said(place: Place) -> tuple[str, str]:
    """What is looked for, and the text of it."""
    match place:
        case Key(key=key):
            return ("numbers that end in" if key.startswith(ENDING) else "the uid"), f'"{key[1:]}"'
        case Span(low, _):
            return _of_term(low, begins=True)
        case str():
            return _of_term(place, begins=place[1] != "w")
        case Between() | Named():
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

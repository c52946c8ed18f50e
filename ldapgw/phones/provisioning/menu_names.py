# SPDX-License-Identifier: MIT
"""The names of menus, keys and buttons of phones inside sentences, so that pages and documents can set them in bold.

A vendor's file and the catalogs have each name between asterisks, with › between menus: ``Go to *Settings › LDAP*.``
"""

from __future__ import annotations

from collections.abc import Callable

_MARK = "*"


def without_marks(sentence: str) -> str:
    """Return a sentence as plain text."""
    return sentence.replace(_MARK, "")


def with_names(sentence: str, name: Callable[[str], str], other: Callable[[str], str]) -> str:
    """Return a sentence in a markup language.

    :param name: writes the name of a menu, a key or a button in this language.
    :param other: writes the words between the names in this language.
    """
    pieces = sentence.split(_MARK)
    return "".join(name(piece) if index % 2 else other(piece) for index, piece in enumerate(pieces))

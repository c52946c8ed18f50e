# SPDX-License-Identifier: MIT
"""English that was left in a page of another language: our own messages, whole or between their values."""

from __future__ import annotations

import html
import re
from functools import cache

from tests.support.catalogs import LOCALE, stored

# A word alone may be the same in both, or part of somebody's name.
_FEWEST_WORDS = 2


@cache
def _pieces(tag: str) -> tuple[str, ...]:
    """What our English messages consist of, but for values and for what the other language says in the same words."""
    found = set()
    for message in stored(LOCALE / f"{tag}.po"):
        said, there = (
            " ".join(one if isinstance(one, list | tuple) else [one]) for one in (message.id, message.string)
        )
        for piece in re.split(r"%\(\w+\)s", said):
            words = " ".join(piece.split()).strip(" .,:;()…“”")
            if len(words.split()) >= _FEWEST_WORDS and words not in there:
                found.add(words)
    return tuple(sorted(found))


def english_in(text: str, tag: str) -> list[str]:
    """The English sentences, and parts of such, in a text or in HTML of another language."""
    plain = " ".join(html.unescape(re.sub(r"<[^>]*>", " ", text)).split())
    return [piece for piece in _pieces(tag) if re.search(rf"\b{re.escape(piece)}(?!\w)", plain)]

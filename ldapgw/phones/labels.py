# SPDX-License-Identifier: MIT
"""The labels by which people know phones, and the sign-in names that are made from labels.

The functions are pure: they do no I/O.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from itertools import count

from ldapgw.directory.transliteration import readings

MAX_LABEL = 64
_MAX_NAME = 64

# German texts are written without umlauts in this way, whereas `anyascii` drops the dots.
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})
_APOSTROPHES = re.compile("['’‘`´]")
_OTHERS = re.compile("[^a-z0-9._-]+")
_SEPARATORS = re.compile("[._-]{2,}")
_ENDS = "._-"
# The sign-in name of a phone whose label has no letter and no digit.
_UNNAMED = "phone"


def read_label(text: str) -> str:
    """Return a label as it is stored: each run of blanks is one blank, and there is no blank at an end.

    :raises ValueError: when the label is too long, or has a character that is not printable.
    """
    label = " ".join(text.split())
    if len(label) > MAX_LABEL or not label.isprintable():
        raise ValueError(text)
    return label


def sign_in_name(label: str, taken: Collection[str]) -> str:
    """Make a sign-in name from a label, or from a name that is not allowed: ``Büro 2. OG`` gives ``buero-2-og``.

    :param taken: the names of all phones, in lower case; if the name is taken, the result ends with ``-2``, ``-3`` ….
    """
    text = unicodedata.normalize("NFKC", label).lower().translate(_UMLAUTS)
    latin = _APOSTROPHES.sub("", readings(text, text)[0])
    name = _SEPARATORS.sub("-", _OTHERS.sub("-", latin)).strip(_ENDS)[:_MAX_NAME].rstrip(_ENDS) or _UNNAMED
    numbered = (f"{name[: _MAX_NAME - len(end)].rstrip(_ENDS)}{end}" for end in (f"-{number}" for number in count(2)))
    return name if name not in taken else next(other for other in numbered if other not in taken)

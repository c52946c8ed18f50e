# SPDX-License-Identifier: MIT
"""The languages of the pages: which one a browser gets, and how words, times and figures read in it.

English stands in the code; every other language has a catalog, ``locale/TAG.po``.  It is read when the pages are set
up: nothing has to be compiled, and nothing compiled can be out of date.
"""

from __future__ import annotations

import gettext
import io
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files

from babel import Locale
from babel.dates import format_date, format_datetime
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal

from ldapgw.phrase import Phrase, Timestamp, Translatable

# By their tags (BCP 47), with their names in themselves; the first is the one to fall back on.
LANGUAGES: Mapping[str, str] = {"en": "English", "de": "Deutsch"}

# Whose dates and times: of all English ones, those that most of the world can read.
_LOCALES: Mapping[str, str] = {"en": "en_GB"}

_RANGE = re.compile(r"\s*([A-Za-z]{1,8})(?:-[A-Za-z0-9-]+)?\s*(?:;\s*q\s*=\s*([01](?:\.[0-9]{1,3})?)\s*)?")


class Language:
    """One language.

    :ivar tag: as in `LANGUAGES`, and in the attribute ``lang``.
    """

    def __init__(self, tag: str) -> None:
        self.tag = tag
        self._locale = Locale.parse(_LOCALES.get(tag, tag))
        self._catalog = _catalog(tag)
        self.gettext = self._catalog.gettext
        self.ngettext = self._catalog.ngettext

    def translate(self, text: Translatable) -> str:
        """A marked message, or a phrase with its values."""
        if isinstance(text, str):
            return self.gettext(text) if text else ""
        return self.gettext(text.message) % {name: self._translate_value(value) for name, value in text.values.items()}

    def format_number(self, number: float) -> str:
        """A figure, its thousands set apart."""
        return str(format_decimal(number, locale=self._locale))

    def format_time(self, seconds: float) -> str:
        """A time, in UTC: where a reader is, the browser alone knows, and its script says it there."""
        when = datetime.fromtimestamp(seconds, UTC)
        return f"{format_datetime(when, 'medium', locale=self._locale).rpartition(':')[0]} UTC"

    def format_date(self, seconds: float) -> str:
        """A date."""
        return str(format_date(datetime.fromtimestamp(seconds, UTC), "long", locale=self._locale))

    def _translate_value(self, value: object) -> str:
        if isinstance(value, Timestamp):
            return self.format_time(value.seconds)
        return self.translate(value) if isinstance(value, Phrase) else str(value)


@cache
def languages() -> Mapping[str, Language]:
    """All of them, by tag; reads the catalogs."""
    return {tag: Language(tag) for tag in LANGUAGES}


def best_language(accept_language: str) -> str:
    """The tag for what a browser asks for (``Accept-Language``, RFC 9110 12.5.4); English where nothing fits."""
    best, best_quality = next(iter(LANGUAGES)), 0.0
    # No browser names more than a handful.
    for wanted in accept_language[:500].split(","):
        found = _RANGE.fullmatch(wanted)
        tag, quality = (found[1].lower(), float(found[2] or 1)) if found else ("", 0.0)
        if tag in LANGUAGES and quality > best_quality:
            best, best_quality = tag, quality
    return best


def _catalog(tag: str) -> gettext.NullTranslations:
    if tag == next(iter(LANGUAGES)):
        return gettext.NullTranslations()
    compiled = io.BytesIO()
    source = files("ldapgw.web").joinpath("locale", f"{tag}.po").read_bytes()
    write_mo(compiled, read_po(io.BytesIO(source), locale=tag))
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)

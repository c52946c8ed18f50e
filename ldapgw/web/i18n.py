# SPDX-License-Identifier: MIT
"""The languages of the pages: translation, and formats of dates, times and numbers.

English texts are in ``texts/*.toml``, in the templates and in the code; every other language has a catalog,
``locale/TAG.po``.  The catalogs are read at start: no compilation step is needed, and no compiled catalog can be out of
date.
"""

from __future__ import annotations

import gettext
import io
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files

from babel import Locale
from babel.dates import format_date, format_datetime
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal
from markupsafe import Markup, escape

from ldapgw.phrase import Phrase, Timestamp, Translatable

# Language tags (BCP 47) with each language's name in the language itself; the first language is the fallback.
LANGUAGES: Mapping[str, str] = {"en": "English", "de": "Deutsch"}

# Babel's locale of a language, where the tag alone is not specific enough: British dates are the most widely readable.
_LOCALES: Mapping[str, str] = {"en": "en_GB"}


class Language:
    """A language with its catalog and its formats.

    :ivar tag: a key of `LANGUAGES`; the value of the HTML attribute ``lang``.
    """

    def __init__(self, tag: str) -> None:
        self.tag = tag
        self._locale = Locale.parse(_LOCALES.get(tag, tag))
        self._catalog = _catalog(tag)
        self.gettext = self._catalog.gettext
        self.ngettext = self._catalog.ngettext

    def translate(self, text: Translatable, show_time: Callable[[Timestamp], str] | None = None) -> str:
        """Translate a marked message, or a phrase with its values.

        :param show_time: writes the times in the phrase; if the function writes HTML, the whole text becomes HTML.
        """
        if isinstance(text, str):
            return self.gettext(text) if text else ""
        values: dict[str, str] = {}
        for name, value in text.values.items():
            if isinstance(value, Timestamp):
                values[name] = show_time(value) if show_time else self.format_time(value.seconds)
            else:
                values[name] = self.translate(value, show_time) if isinstance(value, Phrase) else str(value)
        message = self.gettext(text.message)
        return (escape(message) if any(isinstance(value, Markup) for value in values.values()) else message) % values

    def format_number(self, number: float) -> str:
        """Return the number with thousands separators."""
        return str(format_decimal(number, locale=self._locale))

    def format_time(self, seconds: float) -> str:
        """Return a time in UTC; only the browser knows the reader's zone, and page.js converts the time there."""
        when = datetime.fromtimestamp(seconds, UTC)
        return f"{format_datetime(when, 'medium', locale=self._locale).rpartition(':')[0]} UTC"

    def format_date(self, seconds: float) -> str:
        return str(format_date(datetime.fromtimestamp(seconds, UTC), "long", locale=self._locale))


@cache
def languages() -> Mapping[str, Language]:
    """Read the catalogs, and return all languages by tag."""
    return {tag: Language(tag) for tag in LANGUAGES}


def _catalog(tag: str) -> gettext.NullTranslations:
    if tag == next(iter(LANGUAGES)):
        return gettext.NullTranslations()
    compiled = io.BytesIO()
    source = files("ldapgw.web").joinpath("locale", f"{tag}.po").read_bytes()
    write_mo(compiled, read_po(io.BytesIO(source), locale=tag))
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)

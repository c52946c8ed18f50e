# SPDX-License-Identifier: MIT
"""The rendering of the HTML templates (Jinja2, with autoescape) in the reader's language, and the linked documents."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib.resources import files
from types import CodeType, MappingProxyType
from typing import Any

from jinja2 import BytecodeCache, Environment, PackageLoader, StrictUndefined
from jinja2.bccache import Bucket
from markupsafe import Markup, escape

from ldapgw import __version__
from ldapgw.google.person_text import without_controls
from ldapgw.numbers.phone_number import readable
from ldapgw.phones.description import show_mac
from ldapgw.phones.rollout import PrintSheet
from ldapgw.phrase import Timestamp, Translatable, gettext_noop, with_names, without_marks
from ldapgw.store.account_status import timestamp
from ldapgw.web.account_texts import SOURCE_LABELS
from ldapgw.web.dependencies import WebTenant
from ldapgw.web.error_pages import GOOGLE_CONNECTIONS_URL, GOOGLE_PERMISSIONS_URL
from ldapgw.web.i18n import LANGUAGES, Language, languages
from ldapgw.web.sessions import CSRF_FIELD

# --- links to the documentation ---------------------------------------------------------------------------------------

# The address of the documentation's site, without a slash at the end.  scripts/publication writes the value of
# publication.toml here.  The text is empty as long as the address is unknown; the pages then have no links to the
# documentation.
SITE = ""


@dataclass(frozen=True, slots=True)
class Document:
    """A page of the documentation.

    :ivar title: the page's title, which is not translated because the documentation is in English.
    :ivar path: the page's path below the site, with the name of the section if the page has several sections.
    """

    title: str
    path: str

    @property
    def url(self) -> str:
        """Return the page's address; empty if the address of the site is not known."""
        return f"{SITE}/{self.path}" if SITE else ""


# The pages by the names that templates and texts use.
DOCUMENTS: Mapping[str, Document] = MappingProxyType(
    {
        "index": Document("ldapgw", "index.html"),
        "certificates": Document("Certificates", "how-to/certificates.html"),
        "google": Document("Create an OAuth client", "how-to/google-console.html"),
        "google-private": Document("Private servers", "how-to/google-console.html#private-servers"),
        "workspace": Document("Google Workspace", "how-to/workspace.html"),
        "files": Document("Extensions from a file", "how-to/extensions.html"),
        "provisioning": Document("Let phones find their settings", "how-to/provisioning.html"),
        "phones": Document("Set up a phone", "how-to/vendors.html"),
        "restore": Document("Restore", "how-to/upgrade.html#restore"),
        "failures": Document("When something fails", "reference/operations.html#when-something-fails"),
        "ldap-settings": Document("[ldap]", "reference/configuration.html#ldap"),
        "web-settings": Document("[web]", "reference/configuration.html#web"),
    }
)


# --- templates --------------------------------------------------------------------------------------------------------

# The HTML element for a time inside a sentence.  page.js replaces the content by the time in the reader's zone;
# ``data-as`` names the format.
_TIME = Markup('<time datetime="{}" data-as="{}">{}</time>')

# A blank between two digits, or between a digit and a bracket, as in "(030) 123 45".
_BLANK_IN_NUMBER = re.compile(r"(?<=[0-9)/]) (?=[0-9(])")

# The navigation of the personal pages: path below the tenant's page, label, and whether only administrators see the
# item.
NAVIGATION: tuple[tuple[str, str, bool], ...] = (
    ("", gettext_noop("Overview"), False),
    ("contacts", gettext_noop("Contacts"), False),
    ("phones", gettext_noop("Phones"), False),
    ("troubleshoot", gettext_noop("Troubleshoot"), False),
    ("admin", gettext_noop("Admin"), True),
)
# The navigation of the administration: path below the tenant's page, and label.
ADMIN_NAVIGATION: tuple[tuple[str, str], ...] = (
    ("admin", gettext_noop("Overview")),
    ("admin/people", gettext_noop("People")),
    ("admin/phones", gettext_noop("Phones")),
    ("admin/files", gettext_noop("Files")),
    ("admin/google", gettext_noop("Google")),
    ("admin/activity", gettext_noop("Activity")),
)


class Renderer:
    """The renderer of the templates.

    :param path: the prefix of all paths of the gateway (`PublicUrl.path`).
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._languages = languages()
        self._environments = {tag: _environment(language) for tag, language in self._languages.items()}

    def language(self, tag: str) -> Language:
        return self._languages[tag]

    def translator(self, tag: str) -> Callable[[Translatable], str]:
        """Return a function that translates to HTML; page.js converts the times in the text to the reader's zone."""
        return partial(_translate, self._languages[tag])

    def render(self, language: str, template: str, *, tenant: WebTenant | None, **values: Any) -> str:
        """Render a template to HTML.

        The template gets `values` and ``tenant``, ``path`` (the prefix of all paths of the gateway), ``home`` (the
        tenant's page) and ``page`` (the template's name).  When page.js fetches an address again, page.js compares
        ``page``, and so notices if the address now shows another page.

        :param language: a tag of `LANGUAGES`.
        :param template: the template's file name.
        """
        home = f"{self._path}/{tenant.name}/" if tenant else f"{self._path}/"
        page_values = {"tenant": tenant, "path": self._path, "home": home, "page": template}
        return self._environments[language].get_template(template).render(values, **page_values)

    def print_sheets(self, language: str, title: str, sheets: Sequence[PrintSheet]) -> str:
        """Render an HTML file with a page to print for each phone; the phones' own pages have the same sheets.

        This method may run off the reactor's thread, because hundreds of sheets take tenths of a second.

        :param title: the tenant's name for people.
        """
        style = (files("ldapgw.web") / "static" / "style.css").read_text("utf-8")
        return self.render(language, "phone_sheets.html", tenant=None, title=title, sheets=sheets, style=style)


class _CompiledTemplates(BytecodeCache):
    """The code of the compiled templates, which all languages share.

    Compiling a template takes the reactor's thread 15 ms, and the code of all templates takes 2 MiB.

    Mutable: the code of each version of a template.
    """

    def __init__(self) -> None:
        self._codes: dict[tuple[str, str], CodeType | None] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        bucket.code = self._codes.get((bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._codes[bucket.key, bucket.checksum] = bucket.code


_COMPILED = _CompiledTemplates()


@cache  # an environment keeps its loaded templates; there is one environment for each language (`languages`)
def _environment(language: Language) -> Environment:
    environment = Environment(
        loader=PackageLoader("ldapgw.web"),
        bytecode_cache=_COMPILED,
        extensions=["jinja2.ext.i18n"],
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["ext.i18n.trimmed"] = True
    i18n: Any = environment
    i18n.install_gettext_callables(language.gettext, language.ngettext, newstyle=True)
    environment.globals.update(
        version=__version__,
        csrf_field=CSRF_FIELD,
        permissions=GOOGLE_PERMISSIONS_URL,
        connections=GOOGLE_CONNECTIONS_URL,
        language=language,
        languages=LANGUAGES,
        navigation=NAVIGATION,
        admin_navigation=ADMIN_NAVIGATION,
        sources=SOURCE_LABELS,
        documents=DOCUMENTS,
    )
    environment.filters.update(
        translate=partial(_translate, language),
        count=language.format_number,
        utc=language.format_time,
        ago=partial(_format_ago, language),
        moment=partial(_format_moment, language),
        day=partial(_format_day, language),
        date=language.format_date,
        iso=timestamp,
        mac=show_mac,
        readable=readable,
        menus=_with_bold_menus,
        without_marks=without_marks,
        unbroken=_with_unbroken_numbers,
    )
    return environment


def _printable(value: object) -> object:
    """Remove the characters of an external text that would reorder or hide the text around them on the page."""
    if not isinstance(value, str) or value.isprintable():
        return value
    text = without_controls(value, keep="\t\n\r")
    return Markup(text) if isinstance(value, Markup) else text  # noqa: S704  the value was HTML before


def _translate(language: Language, phrase: Translatable) -> str:
    """Translate a text as `Language.translate` does, but make HTML of a phrase that contains a time."""
    return language.translate(phrase, partial(_format_timestamp, language))


def _with_bold_menus(sentence: str) -> Markup:
    """Write a sentence about a phone in HTML, with the names of menus in bold."""
    return Markup(with_names(sentence, Markup("<b>{}</b>").format, escape))  # noqa: S704  both functions escape


def _with_unbroken_numbers(text: str) -> str:
    """Replace the blanks within telephone numbers by blanks at which no line ends."""
    unbroken = _BLANK_IN_NUMBER.sub("\N{NO-BREAK SPACE}", text)
    return Markup(unbroken) if isinstance(text, Markup) else unbroken  # noqa: S704  the text was HTML before


def _format_timestamp(language: Language, time: Timestamp) -> str:
    return (_format_ago if time.is_ago else _format_moment)(language, time.seconds)


def _format_ago(language: Language, seconds: float) -> str:
    """Write a time of the past, which page.js shows as "five minutes ago" in the first hour."""
    return _TIME.format(timestamp(seconds), "ago", language.format_time(seconds))


def _format_moment(language: Language, seconds: float) -> str:
    return _TIME.format(timestamp(seconds), "moment", language.format_time(seconds))


def _format_day(language: Language, seconds: float) -> str:
    return _TIME.format(timestamp(seconds), "day", language.format_date(seconds))

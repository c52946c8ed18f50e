# SPDX-License-Identifier: MIT
"""Values in, HTML out (Jinja2, everything escaped), in the language of the reader."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from ldapgw import __version__
from ldapgw.status import timestamp
from ldapgw.web.csrf import FIELD
from ldapgw.web.endings import PERMISSIONS
from ldapgw.web.language import LANGUAGES, Language, languages
from ldapgw.web.standing import SOURCES
from ldapgw.web.tenant import WebTenant
from ldapgw.words import marked

# What a person who is signed in can go to: the path below the tenant's, its name, and whether admins alone see it.
NAVIGATION: tuple[tuple[str, str, bool], ...] = (
    ("", marked("My contacts"), False),
    ("explain", marked("Why not found?"), False),
    ("admin", marked("Administration"), True),
)


class Pages:
    """Renders the pages.

    :param path: what goes before every path of ours (`Place.path`).
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._languages = languages()
        self._environments = {tag: _environment(language) for tag, language in self._languages.items()}

    def language(self, tag: str) -> Language:
        """One of our languages."""
        return self._languages[tag]

    def render(self, language: str, template: str, *, tenant: WebTenant | None, **values: Any) -> str:
        """A page.

        :param language: a tag of `LANGUAGES`.
        :param template: its file; the script knows by it whether a page has become another one.
        """
        home = f"{self._path}/{tenant.name}/" if tenant else f"{self._path}/"
        given = {"tenant": tenant, "path": self._path, "home": home, "page": template}
        return self._environments[language].get_template(template).render(values, **given)


def _environment(language: Language) -> Environment:
    made = Environment(
        loader=PackageLoader("ldapgw.web"),
        extensions=["jinja2.ext.i18n"],
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.policies["ext.i18n.trimmed"] = True
    i18n: Any = made
    i18n.install_gettext_callables(language.gettext, language.ngettext, newstyle=True)
    made.globals.update(
        version=__version__,
        field=FIELD,
        permissions=PERMISSIONS,
        language=language,
        languages=LANGUAGES,
        navigation=NAVIGATION,
        sources=SOURCES,
    )
    made.filters.update(say=language.say, count=language.count, moment=language.moment, day=language.day, iso=timestamp)
    return made

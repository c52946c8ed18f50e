# SPDX-License-Identifier: MIT
"""A browser gets a page in the best of our languages, and the catalog of each language is complete."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from jinja2 import Environment

from ldapgw.phrase import Phrase, Timestamp
from ldapgw.web.http import best_language
from ldapgw.web.i18n import LANGUAGES, languages
from tests.support.catalogs import TEMPLATE, catalog_files, extracted, stored, template, written
from tests.support.checkout import ROOT
from tests.support.stage.web import BOB, NOW, Browser

TEMPLATES = ROOT / "ldapgw" / "web" / "templates"
VALUES = re.compile(r"%\(\w+\)[sd]")


@pytest.mark.parametrize(
    ("accepted", "tag"),
    [
        ("", "en"),
        ("de", "de"),
        ("de-AT,de;q=0.9,en;q=0.8", "de"),
        ("de-AT,en;q=0.5", "de"),
        ("en-GB,de;q=0.7,en;q=0.3", "en"),
        ("de,en", "de"),
        ("*,de;q=0.5", "de"),
        ("fr-FR,fr;q=0.9,de;q=0.5,en;q=0.4", "de"),
        ("en-US,en;q=0.9,de;q=0.8", "en"),
        ("en;q=0.2, DE ; q=0.9", "de"),
        ("de;q=0", "en"),
        ("*", "en"),
        ("fr,*;q=0.5", "en"),
        ("de;q=nonsense,en", "en"),
        (",;,=,;;q", "en"),
        ("x" * 100_000, "en"),
        ("a" * 499 + ",de", "en"),
    ],
)
def test_what_a_browser_asks_for(accepted: str, tag: str) -> None:
    """The best of our languages is chosen, and English if none fits or the header makes no sense."""
    assert best_language(accepted) == tag


@pytest.mark.parametrize("path", catalog_files(), ids=lambda path: path.stem)
def test_a_catalog_is_whole(path: Path) -> None:
    """The catalog has translations of exactly the present messages, as scripts/catalogs writes them."""
    assert path.read_bytes() == written(path, extracted())
    for message in stored(path):
        if not message.id:
            continue
        originals = [message.id] if isinstance(message.id, str) else list(message.id)
        translations = [message.string] if isinstance(message.string, str) else list(message.string)
        assert all(translations), message.id
        assert not message.fuzzy
        for translation in translations:
            assert set(VALUES.findall(translation)) == set(VALUES.findall(originals[-1]))
            assert translation.count("<") == originals[-1].count("<")


def test_the_template_for_translators_has_every_message() -> None:
    """A new language begins with the template, which scripts/catalogs writes."""
    assert TEMPLATE.read_bytes() == template(extracted())


def test_every_language_has_its_catalog() -> None:
    """Every language but English, the language of the code, has a catalog."""
    assert [path.stem for path in catalog_files()] == sorted(LANGUAGES.keys() - {"en"})


@pytest.mark.parametrize(
    ("tag", "count", "moment", "day"),
    [
        ("en", "1,812", "21 Sept 2026, 14:13 UTC", "21 September 2026"),
        ("de", "1.812", "21.09.2026, 14:13 UTC", "21. September 2026"),
    ],
)
def test_figures_and_times(tag: str, count: str, moment: str, day: str) -> None:
    language = languages()[tag]
    assert (language.format_number(1812), language.format_time(NOW), language.format_date(NOW)) == (count, moment, day)


def test_phrases() -> None:
    """Values that are phrases are translated, and times have the form of the language."""
    german = languages()["de"]
    phrase = Phrase(
        "This access ends on %(when)s. To keep your contacts up to date, reconnect on %(page)s.",
        {"when": Timestamp(NOW), "page": Phrase("this page")},
    )
    assert (
        str(phrase)
        == "This access ends on 2026-09-21 14:13 UTC. To keep your contacts up to date, reconnect on this page."
    )
    assert german.translate(phrase).startswith(
        "Dieser Zugriff endet am 21.09.2026, 14:13 UTC. Damit Ihre Kontakte aktuell bleiben, verbinden Sie das "
        "Konto auf dieser Seite"
    )
    assert german.translate("") == ""


def test_the_switch(browser: Browser) -> None:
    """The choice is stored in a cookie, has precedence over the browser's languages, and counts on other pages."""
    german = {"Accept-Language": "de"}
    assert '<html lang="de">' in browser.get("/acme/", german).body
    seen = browser.get("/acme/?language=en", german)
    assert '<html lang="en">' in seen.body
    assert seen.cookie("__Host-ldapgw-language") == (
        "__Host-ldapgw-language=en; Path=/; HttpOnly; SameSite=Lax; Max-Age=31536000; Secure"
    )
    assert '<html lang="en">' in browser.get("/acme/nothing", german).body


@pytest.mark.parametrize(
    ("path", "switched"),
    [
        ("/acme/?account=2", "?account=2&amp;language=de"),
        ("/acme/?account=%22%3E&state=x", "?account=1&amp;language=de"),
        ("/acme/account?account=2", "/acme/account?account=2&amp;language=de"),
        ("/acme/phones/desk1?vendor=snom", "/acme/phones/desk1?vendor=snom&amp;language=de"),
        ("/acme/explain?phone=desk1", "/acme/explain?phone=desk1&amp;language=de"),
    ],
)
def test_the_switch_keeps_what_was_chosen(browser: Browser, path: str, switched: str) -> None:
    browser.consent()
    browser.consent("/acme/connect?add", account=BOB)
    browser.submit("/acme/phones", name="desk1", model="other")
    assert f'<a href="{switched}" lang="de"' in browser.get(path).body


def test_the_switch_after_a_form_that_was_refused(browser: Browser) -> None:
    """The switch links to the page with the form."""
    browser.consent()
    body = browser.submit("/acme/phones", name="no name").body
    assert '<a href="/acme/phones?language=de" lang="de"' in body


@pytest.mark.parametrize("chosen", ["fr", "", "../../etc", "de%0d%0aSet-Cookie:x=y", "<script>"])
def test_a_language_that_we_do_not_have(browser: Browser, chosen: str) -> None:
    seen = browser.get(f"/acme/?language={chosen}", {"Accept-Language": "de"})
    assert '<html lang="de">' in seen.body
    assert "set-cookie" not in seen.headers


class Words(HTMLParser):
    """Collect the words of a template that a page would show or read aloud."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in ("alt", "aria-label", "placeholder", "title")]

    def handle_data(self, data: str) -> None:
        self.found.append(data)


@pytest.mark.parametrize("path", sorted(TEMPLATES.glob("*.html")), ids=lambda path: path.stem)
def test_no_word_of_a_template_is_forgotten(path: Path) -> None:
    """Outside of translated blocks a template has no words."""
    text, translated, block = [], False, ""
    for _, kind, value in Environment(extensions=["jinja2.ext.i18n"], autoescape=True).lex(path.read_text()):
        if kind == "name" and not block:
            block = value
        elif kind == "block_end":
            translated = {"trans": True, "endtrans": False}.get(block, translated)
        block = "" if kind in ("block_begin", "block_end") else block
        if kind == "data" and not translated:
            text.append(value)
    found = [word for line in Words("".join(text)).found for word in re.findall(r"[^\W\d_]{2,}", line)]
    assert found == []

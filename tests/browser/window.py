# SPDX-License-Identifier: MIT
"""A person at a browser: what they see of the gateway's pages and of the sandbox's consent."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

from ldapgw.phrase import Translatable
from ldapgw.web.i18n import languages
from tests.support.catalogs import english_in
from tests.support.site.running import Site

EVE = "eve@elsewhere.example"
# Milliseconds; an idle machine needs a fiftieth of them.
PATIENCE_MS = 60_000
LANGUAGES = languages()
LOCALES = {"en": "en-GB", "de": "de-DE"}
PROGRAM = "/usr/bin/chromium"
OPTIONS = (
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--no-first-run"),
)


def person(given_name: str, family_name: str, number: str) -> Mapping[str, Any]:
    """A person of the People API."""
    return {
        "names": [{"givenName": given_name, "familyName": family_name, "displayName": f"{given_name} {family_name}"}],
        "phoneNumbers": [{"value": number, "canonicalForm": number, "type": "work"}],
    }


# Each journey has an account of its own; Alice, Bob and Carol are the sandbox's.
NAMES = ("dora", "ivo", "rosa", "tina", "uwe", "vera", "xaver", "yvonne", "zara")
PEOPLE: Mapping[str, Sequence[Mapping[str, Any]]] = {
    f"{name}@acme.example": [person("Tom", f"{name.title()}mann", f"+4930555{number:03}")]
    for number, name in enumerate(NAMES, start=100)
} | {EVE: [person("Eva", "Eden", "+4930555001")]}
SECOND_TENANT = """
[[tenant]]
name = "globex"
title = "Globex AG"
base_dn = "dc=globex,dc=example"
"""


# The language of a page, and what is seen, heard or hovered over; parts in another language say so.
_SPOKEN = """() => {
  const told = ["title", "alt", "aria-label", "placeholder", "data-done"];
  const named = [...document.querySelectorAll("*")].flatMap((one) => told.map((name) => one.getAttribute(name) ?? ""));
  let text = [document.title, document.body.innerText, ...named].join(" | ");
  for (const one of document.body.querySelectorAll("[lang]")) text = text.replaceAll(one.innerText, "");
  return [document.documentElement.lang, text];
}"""


class Chromium:
    """Debian's, driven by Playwright."""

    def missing(self) -> str:
        """Return the missing program that drives the window, or an empty text."""
        if not shutil.which(PROGRAM):
            return "needs Chromium: sudo apt-get install chromium"
        return "" if find_spec("playwright") else "needs Playwright: scripts/setup"

    @contextmanager
    def running(self) -> Iterator[Any]:
        """The browser, until the block ends."""
        from playwright.sync_api import expect, sync_playwright

        expect.set_options(timeout=PATIENCE_MS)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=PROGRAM, args=list(OPTIONS))
            try:
                yield browser
            finally:
                browser.close()


chromium = Chromium()


class Window:
    """A window of a browser of its own.

    :ivar page: Playwright's.
    :ivar documents: by page, the response with what the page was loaded from.
    :ivar troubles: what the browser complains of; there has to be nothing when it is closed.
    :ivar foreign: what was requested of others than us: Google gets nothing but a person who goes there, and what its
        own pages ask for.  There has to be nothing when it is closed.
    """

    def __init__(self, browser: Any, site: Site, language: str, context: Mapping[str, Any]) -> None:
        given = {"viewport": {"width": 1280, "height": 900}, "timezone_id": "Europe/Berlin", **context}
        self.site = site
        self.language = LANGUAGES[language]
        self.context = browser.new_context(locale=LOCALES[language], **given)
        self.context.set_default_timeout(PATIENCE_MS)
        self.troubles: list[str] = []
        self.expected: tuple[str, ...] = ()
        self._has_consented = False
        self.context.on("weberror", lambda error: self.troubles.append(str(error.error)))
        self.context.on("console", self._hear)
        self.foreign: list[str] = []
        self.context.on("request", self._watch)
        self.documents: dict[Any, Any] = {}
        self.context.on("page", lambda page: page.on("response", partial(self._keep, page)))
        self.page = self.context.new_page()

    def _hear(self, message: Any) -> None:
        if message.type in ("error", "warning") and not any(words in message.text for words in self.expected):
            self.troubles.append(message.text)

    def _keep(self, page: Any, response: Any) -> None:
        is_html = response.headers.get("content-type", "").startswith("text/html")
        if is_html and response.request.is_navigation_request():
            self.documents[page] = response

    def _watch(self, request: Any) -> None:
        ours, google = (f"{one.scheme}://{one.netloc}/" for one in map(urlsplit, (self.site.page, self.site.google)))
        at_google = request.url.startswith(google)
        if request.url.startswith((ours, "data:", "blob:")):
            return
        if not at_google or not (request.is_navigation_request() or request.frame.url.startswith(google)):
            self.foreign.append(request.url)

    def close(self) -> None:
        self.context.close()
        assert self.troubles == [], self.troubles
        assert self.foreign == [], self.foreign

    def say(self, said: Translatable) -> str:
        """Our words in the window's language."""
        return self.language.translate(said)

    def open(self, path: str = "") -> None:
        """Go to a page of the tenant's."""
        self.page.goto(self.site.page + path)

    def open_admin_link(self, tenant: str) -> None:
        """Go to the page of a link from the terminal, whose button opens the administration."""
        made = self.site.ldapgw("admin-link", "--tenant", tenant)
        assert made.returncode == 0, made.stderr
        self.page.goto(made.stdout.strip())

    @property
    def heading(self) -> str:
        return str(self.page.locator("h1").inner_text())

    def waits_for(self, heading: str, page: Any = None) -> None:
        """Until a page has this heading; all of it is in the window's language."""
        from playwright.sync_api import Error

        page = page or self.page
        try:
            page.get_by_role("heading", level=1, name=heading, exact=True).wait_for()
        except Error as error:
            error.add_note(f"{page.url} says: {page.locator('body').inner_text()}")
            raise
        self.speaks(page)

    def speaks(self, page: Any) -> None:
        """Nothing English is left on a page of another language, names of buttons and descriptions included."""
        page.wait_for_load_state("domcontentloaded")  # a click waits only until the next page begins to come
        tag, text = page.evaluate(_SPOKEN)
        assert tag == self.language.tag
        left = english_in(text, tag) if tag != "en" else []
        assert left == [], left

    def press(self, words: str, page: Any = None) -> None:
        """A button or a link, by our words for it."""
        wanted = self.say(words)
        page = page or self.page
        page.get_by_role("button", name=wanted, exact=True).or_(
            page.get_by_role("link", name=wanted, exact=True)
        ).first.click()

    def confirm(self, words: str) -> None:
        """Press what cannot be undone, and its button on the page that asks first."""
        self.press(words)
        ask = self.page.locator(".ending form button.danger")
        ask.wait_for()
        self.speaks(self.page)
        ask.click()

    def popup(self, words: str = "Connect Google contacts") -> Any:
        """Press what opens a window, and that window."""
        with self.context.expect_page() as opened:
            self.press(words)
        return opened.value

    def consent(self, google: Any, account: str, decision: str = "Continue") -> None:
        """Fill Google's page in, and leave it; the page asks for one scope, so that it has no boxes.

        :param google: Playwright's page of it.
        """
        if self._has_consented:
            # A look for news may be under way with the session that this consent replaces.
            self.expected = (*self.expected, "403 (Forbidden)")
        self._has_consented = True
        google.get_by_role("radio", name=account).check()
        google.get_by_role("button", name=decision).click()

    def connect(self, account: str) -> None:
        """From the front page to one's own page with the contacts synced."""
        self.open()
        self.consent(self.popup(), account)
        self.arrives()

    def arrives(self) -> None:
        """Until one's own page says that all is connected, or which phone has a trouble that the headline tells."""
        connected = self.page.get_by_role("heading", level=1, name=self.say("Connected"), exact=True)
        connected.or_(self.page.locator('#standing .state a[href*="/phones/"]')).first.wait_for()
        self.speaks(self.page)

    def switch_on(self, source: str, account: str) -> None:
        """Switch a source on, with Google's consent, and be on the page of the account."""
        self.press("Account and sharing")
        self.page.get_by_role("button", name=self.say("Switch on: %(what)s") % {"what": self.say(source)}).click()
        self.consent(self.page, account)
        self.page.locator("main > .note.good").wait_for()


# A fixture that opens a window in a language, with Playwright's options for a context of the browser.
OpenWindow = Callable[..., Window]


def add(here: Window, name: str, model: str = "yealink") -> None:
    """Fill the form in, and be on the phone's page."""
    here.press("Phones")
    here.page.get_by_label(here.say("Label"), exact=True).fill(name)
    here.page.get_by_label(here.say("Model")).select_option(model)
    here.press("Add phone")
    here.waits_for(f"{name}: {here.say('Not used yet')}")

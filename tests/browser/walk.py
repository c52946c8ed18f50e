# SPDX-License-Identifier: MIT
"""Journeys, and the ways of going them: width of the window, language, with or without scripts.

CI goes each journey once, in German, where words that nobody has translated are seen, and in a wide window or a narrow
one by turns; the journeys that scripts change most it goes once more without scripts.  The other ways are for `--soak`.
A journey stops at pages.  Each page has to speak one language and to fit a window of either width; axe looks at it once
in either width, in light where the window is wide and in dark where it is narrow, and its HTML has to be valid.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser import axe
from tests.browser.looks import DOCUMENTS, IMAGES, LOOKS, SCHEMES, SIZES, fits
from tests.browser.window import LANGUAGES, PATIENCE_MS, Window
from tests.support.site.running import Site, wait_until


@dataclass(frozen=True, slots=True)
class Way:
    """A person's way through a journey.

    :ivar number: tells apart what the ways of a journey leave behind.
    """

    number: int
    size: str
    language: str
    has_scripts: bool

    def __str__(self) -> str:
        return f"{self.size}-{self.language}{'' if self.has_scripts else '-plain'}"


WAYS = tuple(Way(number, *one) for number, one in enumerate(product(SIZES, LANGUAGES, (True, False))))

# Of text, in light.
INK = "rgb(27, 32, 39)"
# In CI it has to be there.
HAS_AXE = axe.PROGRAM.exists() or "CI" in os.environ

Journey = Callable[..., None]


def journeys(*them: Journey, also_plain: Collection[Journey] = ()) -> Any:
    """A parametrization by `journey` and `way`.

    :param also_plain: the journeys that CI goes without scripts too.
    """
    cases: list[Any] = []
    sizes = list(SIZES)
    for place, journey in enumerate(them):
        size = sizes[place % len(sizes)]
        for way in WAYS:
            is_chosen = (way.size, way.language) == (size, "de") and (way.has_scripts or journey in also_plain)
            marks = () if is_chosen else (pytest.mark.soak,)
            cases.append(pytest.param(journey, way, id=f"{journey.__name__}-{way}", marks=marks))
    return pytest.mark.parametrize(("journey", "way"), cases)


@dataclass
class Crew:
    """The walks of a module share a crew.

    Mutable: the sessions by tenant and account, the stops that axe has looked at, and their HTML as we sent it.
    """

    browser: Any
    site: Site
    sessions: dict[tuple[str, str], Sequence[Any]] = field(default_factory=dict)
    checked: set[str] = field(default_factory=set)
    html: dict[str, str] = field(default_factory=dict)


class Walk(Window):
    """A window on its way through a journey.

    :ivar clicks: how often something of ours was clicked or chosen, by the methods below.
    """

    def __init__(self, crew: Crew, way: Way) -> None:
        given = {"viewport": SIZES[way.size], "java_script_enabled": way.has_scripts}
        super().__init__(crew.browser, crew.site, way.language, given)
        self.crew = crew
        self.way = way
        self.clicks = 0
        self.has_axe = way.has_scripts and HAS_AXE
        # Pages of errors are pages, and a session that a test ends is over.
        self.expected = ("400 (Bad", "403 (Forbidden)", "404 (Not")

    def css(self, selector: str, **having: Any) -> Any:
        return self.page.locator(selector, **having)

    # --- going ---

    def follow(self, path: str, within: str = "main") -> None:
        """A link, by the end of its address."""
        self.css(f'{within} a[href$="{path}"]').first.click()
        self.clicks += 1

    def go(self, path: str) -> None:
        """A link of the navigation on top; empty: the overview."""
        self.follow(f"/acme/{path}", ".top nav")

    def send(self, path: str, button: str = "button") -> None:
        """A form, by the end of its address."""
        pressed = self.css(f'main form[action$="/{path}"] {button}').last
        if self.way.has_scripts:
            pressed.click()
        else:  # else whoever loads the page anew at once ends the request
            with self.page.expect_navigation():
                pressed.click()
        self.clicks += 1

    def shows(self, selector: str, **having: Any) -> None:
        """Until the page has it: by itself where scripts run, loaded anew elsewhere."""
        if self.way.has_scripts:
            expect(self.page.locator(selector, **having).first).to_be_visible()
        else:
            self.shows_anew(selector, **having)

    def shows_anew(self, selector: str, **having: Any) -> None:
        """Until the page has it when it is loaded anew."""
        wanted = self.page.locator(selector, **having)

        def reloaded() -> bool:
            self.page.reload()
            return bool(wanted.count())

        wait_until(reloaded, selector, PATIENCE_MS / 1000)

    # --- arriving ---

    def sign_in(self, account: str, path: str = "") -> None:
        """As somebody who is connected; the first walk connects them."""
        key = "acme", account
        if key not in self.crew.sessions:
            self.page.goto(f"{self.site.page}connect")
            self.consent(self.page, account)
            self.page.wait_for_url(f"{self.site.page}*")
            self.shows("#standing .state.good")
            self.shows("#standing dd.big")
            self.crew.sessions[key] = self.context.cookies()
        self.context.add_cookies(self.crew.sessions[key])
        self.open(path)

    def administer(self, tenant: str, path: str = "admin") -> None:
        """As somebody with a link from the terminal."""
        key = tenant, ""
        if key not in self.crew.sessions:
            self.open_admin_link(tenant)
            self.stop("link")
            self.css("main button").click()
            self.page.wait_for_url(f"**/{tenant}/admin")
            self.crew.sessions[key] = self.context.cookies()
        self.context.add_cookies(self.crew.sessions[key])
        self.page.goto(self.site.page.replace("/acme/", f"/{tenant}/") + path)

    def consent_by(self, link: Any, account: str) -> None:
        """Press a link to Google, and consent: in a window of its own where scripts run and there is room for one."""
        self.clicks += 1
        if not (self.way.has_scripts and self.way.size == "wide"):
            link.click()
            self.consent(self.page, account)
            return
        with self.context.expect_page() as opened:
            link.click()
        self.consent(opened.value, account)

    def add_phone(self, name: str, model: str = "yealink") -> str:
        """On the page that is open; its password."""
        self.page.get_by_label(self.say("Label"), exact=True).fill(name)
        self.css("#model").select_option(model)
        self.clicks += 1
        self.send("phones")
        password = str(self.css("#the-password").inner_text())
        self.site.phones[name] = password
        return password

    def remove_phone(self, name: str) -> None:
        self.open(f"phones/{name}/remove")
        self.send(f"phones/{name}/remove")
        self.css("#add-phone").wait_for()

    # --- stopping ---

    def stop(self, name: str, page: Any = None) -> None:
        """Look at the page: it has one heading and a title, speaks one language, fits, and is for everybody."""
        page = page or self.page
        self.speaks(page)
        assert page.locator("h1").count() == 1, page.url
        is_new = self.has_axe and name not in self.crew.checked
        if is_new:
            self.crew.checked.add(name)
            html = self.documents[page].text()
            # The validator does not see that the buttons of a table that was searched belong to a form elsewhere.
            if 'id="sort"' not in html:
                self.crew.html[name] = html
        for size in sorted(SIZES, key=lambda size: size == self.way.size):  # its own is the last
            page.set_viewport_size(SIZES[size])
            fits(page)
            if is_new:
                page.emulate_media(color_scheme=LOOKS[size])
                assert axe.violations(page) == [], (name, size)
        if IMAGES is not None and IMAGES.resolve() != DOCUMENTS:
            for scheme in SCHEMES:
                page.emulate_media(color_scheme=scheme)
                path = IMAGES / f"stop-{name}-{self.way}-{scheme}.png"
                page.screenshot(path=path, full_page=True, animations="disabled")

    def pages_of_print(self, name: str) -> int:
        """Count the page's sheets of paper, in ink that is dark; the PDF is kept if pictures are wanted."""
        inks = set()
        for scheme in SCHEMES:
            self.page.emulate_media(media="print", color_scheme=scheme)
            inks.add(self.page.evaluate("getComputedStyle(document.body).color"))
        self.page.emulate_media(media="null")
        assert inks == {INK}
        pdf: bytes = self.page.pdf(format="A4")
        if IMAGES is not None and IMAGES.resolve() != DOCUMENTS:
            (IMAGES / f"stop-{name}-{self.way}.pdf").write_bytes(pdf)
        return len(re.findall(rb"/Type\s*/Page\b", pdf))

# SPDX-License-Identifier: MIT
"""The journeys of somebody who calls a contact by a click, in the browser and through the gateway."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import expect

from tests.browser.walk import WAYS, Walk, Way, journeys
from tests.browser.window import person
from tests.support.site.running import Site, new_site, wait_until

NUMBER = "+4930555100"
# One for each way, whose phones are added once.
CALLERS = [f"karl{way.number}@acme.example" for way in WAYS]


@dataclass
class Pbx:
    """A telephone system on this machine.

    Mutable: its next status, and the queries and the headers ``Referer`` of the requests that it has got.
    """

    port: int
    status: int = 200
    asked: list[dict[str, list[str]]] = field(default_factory=list)
    referers: list[str | None] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/call?from={{phone}}&to={{number}}"


@pytest.fixture(scope="module")
def pbx() -> Iterator[Pbx]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            if parts.path == "/call":
                made.asked.append(parse_qs(parts.query))
                made.referers.append(self.headers["Referer"])
            self.send_response(made.status)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>PBX</title><p>Ringing")

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made = Pbx(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield made
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module", params=["browser", "server"])
def site(request: Any, pbx: Pbx, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    people = {account: [person("Tom", "Zweimann", NUMBER)] for account in CALLERS}
    more = f'dial_url = "{pbx.url}"\ndial = "{request.param}"\n'
    with new_site(tmp_path_factory.mktemp("site"), people=people, more=more) as site, site.running():
        yield site


def call(here: Walk, pbx: Pbx, button: Any, mode: str) -> dict[str, list[str]]:
    """Press a button; what the telephone system is asked for."""
    before = len(pbx.asked)
    if mode == "browser":
        with here.context.expect_page() as opened:
            button.click()
        expect(opened.value.locator("p")).to_have_text("Ringing")
        assert opened.value.evaluate("window.opener") is None
        opened.value.close()
        # The browser asks nobody else, and asks only when the button is pressed.
        assert len(here.foreign) == 1
        assert here.foreign.pop().startswith(pbx.url.partition("?")[0])
    else:
        with here.page.expect_navigation():
            button.click()
    wait_until(lambda: len(pbx.asked) == before + 1, "the telephone system is asked")
    assert pbx.referers[-1] is None
    return pbx.asked[-1]


def calling(here: Walk, pbx: Pbx, mode: str) -> None:
    """Without a phone there is no button; one phone needs no choice; with several the person chooses."""
    one, two = (f"{mode}-{name}-{here.way.number}" for name in ("one", "two"))
    here.sign_in(CALLERS[here.way.number])
    here.open("contacts")
    here.css(".people a", has_text="Tom Zweimann").first.click()
    address = here.page.url
    expect(here.css("dd.copy")).to_have_count(1)
    expect(here.css("dd.copy a.button, dd.copy form, .calls")).to_have_count(0)
    expect(here.css(f'a.tel[href="tel:{NUMBER}"], a.tel[href="tel:%2B{NUMBER[1:]}"]')).to_have_count(1)

    here.open("phones")
    here.add_phone(one)
    here.page.goto(address)
    button = here.css("dd.copy a.button, dd.copy form button")
    expect(button).to_have_text(here.say("Call"))
    here.stop(f"contact-call-{mode}")
    assert call(here, pbx, button, mode) == {"from": [one], "to": [NUMBER]}
    if mode == "server":
        said = "Your phone rings in a moment. Pick it up, and the telephone system calls the number."
        expect(here.css("main .note")).to_have_text(here.say(said))
        here.stop("contact-called")
        pbx.status = 503
        call(here, pbx, button, mode)
        pbx.status = 200
        expect(here.css("main .note.warn")).to_be_visible()
        here.stop("contact-call-refused")

    here.open("phones")
    here.add_phone(two)
    here.page.goto(address)
    here.css(".calls summary").click()
    here.stop(f"contact-call-choice-{mode}")
    button = here.css(".calls a.button, .calls form button").filter(has_text=two)
    assert call(here, pbx, button, mode) == {"from": [two], "to": [NUMBER]}
    for name in (one, two):
        here.remove_phone(name)


@journeys(calling)
def test_calling(
    another: Callable[[], Walk], journey: Callable[..., None], way: Way, pbx: Pbx, site: Site, request: Any
) -> None:
    """In both modes, each page fits, speaks one language, and has nothing that axe finds."""
    journey(another(), pbx, request.node.callspec.params["site"])

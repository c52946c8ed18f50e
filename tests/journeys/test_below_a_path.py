# SPDX-License-Identifier: MIT
"""The page below a path of a host, behind real proxies that leave the path and that take it off.

Only the proxies themselves show how they change paths and headers.
"""

from __future__ import annotations

import html
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest
import pytest_twisted
from treq.client import HTTPClient
from twisted.internet import reactor  # noqa: TID251  tests are an entry point
from twisted.web.client import Agent

from ldapgw.google.sandbox.tenant import ALICE
from tests.support import browser
from tests.support.proxies import REVERSE_PROXIES, reverse_proxy
from tests.support.site.running import PATIENCE, Site, free_ports, new_site

PATH = "/phonebook"
_LINK = re.compile(r'(href|src|action|formaction|data-events|data-gone)="([^"#]*)')


class Visitor:
    """A browser that begins at an address, and fails on a link that leads out of the path."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.http = HTTPClient(Agent(reactor))

    async def open(self, url: str) -> browser.Visit:
        return await browser.open_page(self.http, url)

    async def submit(self, page: str, action: str, **fields: str) -> browser.Visit:
        """Press the button of a form of a page, with its hidden fields."""
        visit = await self.open(page)
        form = next(form for form in browser.read_forms(visit.body) if form.action.endswith(action))
        hidden = [(control.name, control.value) for control in form.controls if control.kind == "hidden"]
        return await browser.submit(self.http, visit, form, [*hidden, *fields.items()])

    async def all_pages(self) -> dict[str, int]:
        """The status of everything that the pages link to, by its path."""
        found: dict[str, int] = {}
        ahead = [f"{self.url}/"]
        while ahead:
            url = ahead.pop()
            path = urlsplit(url).path
            if path in found or path.endswith(("/events", "/signout", "/connect", "/signin")):
                continue
            answer = await self.http.get(url)
            body = (await answer.content()).decode(errors="replace")
            found[path] = answer.code
            for kind, text in _LINK.findall(body) if "<html" in body else ():
                there = urljoin(url, html.unescape(text))
                if urlsplit(there).netloc == urlsplit(self.url).netloc:
                    assert urlsplit(there).path.startswith(f"{PATH}/"), (url, text)
                    if not kind.endswith("action"):
                        ahead.append(there)
        return found


@pytest.fixture(name="site", scope="module")
def _site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, int]]:
    """A gateway that knows that its page is below a path of another port, and that port."""
    with new_site(tmp_path_factory.mktemp("path")) as site:
        (port,) = free_ports(1)
        text = site.file.read_text().replace(
            f'public_url = "http://127.0.0.1:{site.web_port}"', f'public_url = "http://127.0.0.1:{port}{PATH}"'
        )
        site.file.write_text(f'{text}admins = ["{ALICE}"]\n')
        site.turn("add-redirect-uri", uri=f"http://127.0.0.1:{port}{PATH}/oauth/callback")
        with site.running() as gateway:
            yield site, port
        assert "Traceback" not in gateway.said


@pytest.mark.long  # real proxies; tests/web has the addresses below a path
@pytest.mark.parametrize("proxy", REVERSE_PROXIES)
@pytest_twisted.ensureDeferred
async def test_the_page_works_below_a_path(site: tuple[Site, int], tmp_path: Path, proxy: str) -> None:
    """Consent, every page with its files, forms, events, the address of a phone's settings, and an XML book."""
    gateway, port = site
    url = f"http://127.0.0.1:{port}{PATH}"
    with reverse_proxy(proxy, tmp_path, port, PATH, gateway.web_port):
        visitor = Visitor(url)
        visit = await browser.consent(visitor.http, f"{url}/acme/connect", account=ALICE)
        assert (visit.status, visit.url) == (200, f"{url}/acme/")
        assert {cookie.path for cookie in visitor.http._cookiejar} == {PATH}

        # --- a phone, its settings and its book ---
        name = f"desk-{proxy.replace(' ', '-')}"
        phone = f"{url}/acme/phones/{name}"
        visit = await visitor.submit(f"{url}/acme/phones", "/phones", name=name, model="yealink")
        assert (visit.status, visit.url) == (200, phone)
        visit = await visitor.submit(f"{phone}/provision", "/provision")
        address = re.search(r'id="the-provisioning">([^<]+)<', visit.body)
        password = re.search(r'id="the-password">([^<]+)<', visit.body)
        assert address
        assert password
        assert html.unescape(address[1]).startswith(f"{url}/acme/provision/{name}.")
        settings = await visitor.open(html.unescape(address[1]) + "yealink-ldap.cfg")
        assert (settings.status, password[1] in settings.body) == (200, True)
        book = await visitor.http.get(f"{url}/acme/book/cisco.xml", auth=(name, password[1]))
        text = await book.text("utf-8")
        assert (book.code, f"{url}/acme/book/cisco.xml?" in text) == (200, True)

        # --- all pages, and events of an open one ---
        found = await visitor.all_pages()
        assert set(found.values()) == {200}, found
        kinds = ("/static/style.css", "/static/page.js", "/acme/admin/phones", f"/acme/phones/{name}", "/acme/privacy")
        assert {f"{PATH}{kind}" for kind in kinds} <= found.keys()
        cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in visitor.http._cookiejar)
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as stream:
            head = f"GET {PATH}/acme/events HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nCookie: {cookies}\r\n\r\n"
            stream.sendall(head.encode())
            received = stream.recv(1 << 16)
            assert received.startswith(b"HTTP/1.1 200 ")
            await visitor.submit(f"{url}/acme/", "/sync")
            while b"data:" not in received.partition(b"\r\n\r\n")[2]:
                received += stream.recv(1 << 16)

        # --- and nobody else's path ---
        assert (await visitor.open(f"http://127.0.0.1:{port}/acme/")).status == 404
        await visitor.submit(f"{url}/acme/", "/signout")
        assert not [cookie for cookie in visitor.http._cookiejar if cookie.name == "ldapgw.acme"]

# SPDX-License-Identifier: MIT
"""The weight of a gateway's pages, and the time of their first octet, for a browser that signs in at the sandbox."""

from __future__ import annotations

import argparse
import re
import socket
import time
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from statistics import median
from urllib.parse import urljoin, urlsplit

from bench.people import entered, person
from bench.report import Results, say, simple_table
from ldapgw.google.sandbox.tenant import ALICE
from tests.support.site.running import Site, fetch, wait_until
from tests.support.site.visitor import connect

_TIMES = 20
# The pages by their paths below the tenant's page; the first ones for a visitor who is not signed in, with a status.
_OUTSIDE = (("front page", "", 200), ("an error (not found)", "nothing", 404))
_INSIDE = {
    "my page": "",
    "a phone's settings": "phones/desk1",
    "why not found": "explain?phone=desk1",
    "administration": "admin",
    "500 phones, a page of them": "admin/phones",
    "500 phones, filtered and sorted": "admin/phones?show=unused&sort=-name&page=5",
}
# A person with a large book, and the pages of the list of contacts.
_CROWDED, _CONTACTS = "greta@acme.example", 5000
_LISTS = {f"{_CONTACTS:,} contacts, page 1": "contacts", f"{_CONTACTS:,} contacts, letter N": "contacts?letter=n"}
# The files that a browser fetches for a page: style sheets, icons, scripts and pictures.
_NEEDED = re.compile(r'<(?:link rel="(?:stylesheet|icon)" href|script src|img (?:class="[^"]*" )?src)="([^"]+)"')
# Phones without a person, which the administration lists.
_PHONES = 500


def _weigh(name: str, url: str, cookie: str, status: int = 200) -> tuple[str, ...]:
    """Open a page some times on one connection, and each file that the page needs once; return the page's row.

    :param cookie: the cookie of the person who is signed in.
    :param status: the status that the page has to have.
    """
    first, body = [], b""
    connection = HTTPConnection(urlsplit(url).netloc, timeout=30)
    connection.connect()

    def ask(address: str, **headers: str) -> HTTPResponse:
        parts = urlsplit(address)
        connection.request("GET", f"{parts.path}?{parts.query}" if parts.query else parts.path, headers=headers)
        assert isinstance(connection.sock, socket.socket)
        connection.sock.recv(1, socket.MSG_PEEK)
        return connection.getresponse()

    for _ in range(_TIMES):
        begun = time.perf_counter()
        answer = ask(url, Cookie=cookie)
        first.append(time.perf_counter() - begun)
        body = _read(answer, status)
    packed = {"Accept-Encoding": "gzip"}
    sent = _read(ask(url, Cookie=cookie, **packed), status)
    needed = {urljoin(url, one) for one in _NEEDED.findall(body.decode())}
    besides = [len(_read(ask(one, **packed), 200)) for one in needed]
    connection.close()
    packed_size = "not packed" if len(sent) == len(body) else f"{len(sent):,}"
    files, milliseconds = f"{len(besides)} with {sum(besides):,}", median(first) * 1000
    return name, f"{len(body):,}", packed_size, files, f"{milliseconds:.1f} ms"


def _read(answer: HTTPResponse, status: int) -> bytes:
    body = answer.read()
    assert answer.status == status, (answer.status, answer.getheaders())
    return body


def measure(_given: argparse.Namespace, folder: Path) -> Results:
    people = {ALICE: (), _CROWDED: [entered(person(at)) for at in range(_CONTACTS)]}
    site = Site(folder, more=f'admins = ["{ALICE}"]\n', people=people)
    try:
        site.start_sandbox()
        with site.running():
            say("connecting")
            cookie = connect(site.page, ALICE)
            site.synced()
            _add_phones(site, folder)
            rows: list[tuple[str, ...]] = [("Page", "HTML", "gzip", "Other files", "First octet")]
            rows += [_weigh(name, site.page + path, "none=none", status) for name, path, status in _OUTSIDE]
            rows += [_weigh(name, site.page + path, cookie) for name, path in _INSIDE.items()]
            return Results(simple_table([*rows, *_weigh_lists(site)]))
    finally:
        site.end_sandbox()


def _weigh_lists(site: Site) -> list[tuple[str, ...]]:
    """Weigh the list of a large book, and the page of a contact in the list."""
    say("connecting a large book")
    cookie = connect(site.page, _CROWDED)

    def contacts() -> str:
        return fetch(site.page + "contacts", cookie)[1]

    # With the company's directory there are some more.
    listed = f"{_CONTACTS // 1000},[0-9]{{3}} contacts"
    wait_until(lambda: re.search(listed, contacts()), "all contacts are listed")
    [contact, *_] = re.findall(r'contacts/[^"/?]+', contacts())
    return [_weigh(name, site.page + path, cookie) for name, path in {**_LISTS, "a contact": contact}.items()]


def _add_phones(site: Site, folder: Path) -> None:
    """Add a phone of the signed-in person, and phones without a person."""
    site.add_login("desk1", "--account", ALICE)
    desks = folder / "desks.csv"
    desks.write_text("name,model\n" + "".join(f"desk{number + 100},yealink\n" for number in range(_PHONES)))
    added = site.ldapgw("phones", "import", str(desks), "--zip", str(folder / "desks.zip"), "--yes")
    if added.returncode:
        raise SystemExit(added.stderr)

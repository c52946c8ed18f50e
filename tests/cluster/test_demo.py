# SPDX-License-Identifier: MIT
"""Two gateways behind HAProxy: what ``scripts/demo-cluster`` prints works, and a browser stays at one gateway.

Only the demo itself shows that its commands work, and only HAProxy that a browser stays.
"""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_twisted
from treq.client import HTTPClient
from twisted.internet import reactor  # noqa: TID251  tests are an entry point
from twisted.web.client import Agent

from tests.cluster.demo import COOKIE, front, put_behind
from tests.support import browser
from tests.support.browser import Visit
from tests.support.checkout import ROOT
from tests.support.postgresql import needs_postgresql
from tests.support.proxies import haproxy
from tests.support.site.cluster import ALICE, Cluster
from tests.support.site.running import PATIENCE, Process, fetch, free_ports, wait_until

pytestmark = [needs_postgresql, pytest.mark.long]

PASSWORD = re.compile(r'id="the-password">[^<]+<')
ELSEWHERE = "This password was shown on another gateway"


def said_by(command: str) -> str:
    done = subprocess.run(shlex.split(command), capture_output=True, text=True, timeout=PATIENCE, check=False)
    return done.stdout


def test_a_gateway_is_killed_and_the_phone_searches_on(tmp_path: Path) -> None:
    """Through HAProxy, which leads to the other one; at the end nothing runs."""
    demo = Process([sys.executable, "-m", "tests.cluster.demo"], tmp_path / "log", ROOT)
    try:
        wait_until(lambda: "Ctrl-C ends" in demo.said or demo.status is not None, "all of it runs", 2 * PATIENCE)
        [search] = re.findall(r"^  (ldapsearch .*)$", demo.said, re.MULTILINE)
        [gateways] = re.findall(r"^  (.* gateways)$", demo.said, re.MULTILINE)
        [page] = re.findall(r"http://[^ ]*/acme/", demo.said)
        first, _ = re.findall(r"kill -9 (\d+)$", demo.said, re.MULTILINE)
        everybody = said_by(search)
        assert everybody.count("dn: ") == 20
        wait_until(lambda: len(re.findall("^✓", said_by(gateways), re.MULTILINE)) == 2, "both live")
        said_by(f"kill -9 {first}")
        wait_until(lambda: said_by(search) == everybody, "the other one answers")
        wait_until(lambda: fetch(page)[0] == 200, "the page is served")
    finally:
        assert demo.end(signal.SIGINT) == 0, demo.said


@pytest.fixture(scope="module", name="world")
def _world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Two gateways, with Alice connected through a HAProxy that has ended since."""
    folder = tmp_path_factory.mktemp("behind")
    ldap, web = free_ports(2)
    with ExitStack() as stack:
        cluster = stack.enter_context(closing(Cluster(folder, 2)))
        put_behind(cluster, web)
        with haproxy(folder, front(cluster.sites, ldap, web)):
            gateways = stack.enter_context(cluster.running())
        wait_until(lambda: len(cluster.known()) == len(gateways), "both gateways live")
        yield World(cluster, gateways, ldap, web)


@dataclass(frozen=True)
class World:
    """Two gateways, and the ports of the HAProxy that a test puts in front of them."""

    cluster: Cluster
    gateways: list[Process]
    ldap: int
    web: int

    @property
    def page(self) -> str:
        return f"http://127.0.0.1:{self.web}/acme"

    def front(self, cookie: str) -> str:
        """The listeners of HAProxy."""
        return front(self.cluster.sites, self.ldap, self.web, cookie)


async def add_phone(http: HTTPClient, page: str, name: str) -> Visit:
    """Add a phone with the form of the page; the visit is the page of the phone, to which the browser is redirected."""
    visit = await browser.open_page(http, f"{page}/phones")
    form = next(form for form in browser.read_forms(visit.body) if form.action.endswith("/phones"))
    hidden = [(control.name, control.value) for control in form.controls if control.kind == "hidden"]
    return await browser.submit(http, visit, form, [*hidden, ("name", name), ("model", "yealink")])


@pytest_twisted.ensureDeferred
async def test_a_password_of_another_gateway(world: World, tmp_path: Path) -> None:
    """Without the cookie, HAProxy leads to the gateways by turns: one shows the password, the other says why not."""
    with haproxy(tmp_path, world.front(cookie="")):
        http = HTTPClient(Agent(reactor))
        assert (await browser.consent(http, f"{world.page}/connect", account=ALICE)).status == 200
        visit = await add_phone(http, world.page, "kitchen")
        shown = set[tuple[bool, bool]]()
        for _ in range(4):
            visit = await browser.open_page(http, visit.url)
            assert visit.status == 200
            shown.add((bool(PASSWORD.search(visit.body)), ELSEWHERE in visit.body))
        assert shown == {(True, False), (False, True)}


@pytest_twisted.ensureDeferred
async def test_a_browser_stays_at_one_gateway(world: World, tmp_path: Path) -> None:
    """The page after the form has the new password, ten times of ten; when the gateway dies, the other one answers."""
    assert f"    {COOKIE} secure\n" in (ROOT / "docs/how-to/several-gateways.rst").read_text()
    with haproxy(tmp_path, world.front(COOKIE)):
        http = HTTPClient(Agent(reactor))
        assert (await browser.consent(http, f"{world.page}/connect", account=ALICE)).status == 200
        for number in range(10):
            visit = await add_phone(http, world.page, f"kitchen{number}")
            assert (visit.status, bool(PASSWORD.search(visit.body))) == (200, True)
        [chosen] = [cookie.value for cookie in http._cookiejar if cookie.name == "GATEWAY"]
        world.gateways[int(str(chosen).removeprefix("gateway")) - 1].end(signal.SIGKILL)
        visit = await browser.open_page(http, visit.url)
        assert (visit.status, PASSWORD.search(visit.body)) == (200, None)

# SPDX-License-Identifier: MIT
"""``ldapgw connect``: an account without the page, by a browser that Google sends back to localhost.

The command runs a reactor of its own until the browser comes back, so that it needs a process.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlencode, urljoin

import pytest
import pytest_twisted
from click.testing import CliRunner
from treq.client import HTTPClient
from twisted.internet import reactor  # noqa: TID251  tests are an entry point
from twisted.web.client import Agent

from ldapgw.cli import main
from ldapgw.google.sandbox.tenant import ALICE
from ldapgw.web.error_pages import PAGES
from tests.support import browser
from tests.support.site.running import PATIENCE, Process, Site, fetch, free_ports, new_site, wait_until


def url_in(said: str) -> str:
    """The address for the browser, once it is printed."""
    return next((line for line in said.splitlines() if line.startswith("http")), "")


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Google, for all of them."""
    with new_site(tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture
def site(sandbox: Site) -> Iterator[Site]:
    """A gateway that was never started, and never connected."""
    yield sandbox
    shutil.rmtree(sandbox.folder / "state", ignore_errors=True)


@pytest.fixture
def port(site: Site) -> int:
    """A port on localhost, registered with Google."""
    (port,) = free_ports(1)
    site.turn("add-redirect-uri", uri=f"http://localhost:{port}/oauth/callback")
    return port


@asynccontextmanager
async def connecting(site: Site, port: int) -> AsyncIterator[tuple[Process, str]]:
    """The command, and the address that it has printed."""
    process = Process(site.command("connect", "--port", str(port)), site.folder / "connect.log", site.folder)
    try:
        yield process, wait_until(lambda: url_in(process.said), "the address")
    finally:
        process.end()


def http() -> HTTPClient:
    return HTTPClient(Agent(reactor))


@pytest.mark.long  # tests/web/test_consent has what a callback does
@pytest_twisted.ensureDeferred
async def test_by_listening(site: Site, port: int) -> None:
    """The command ends once the browser is back; a gateway that runs syncs at once."""
    with site.running():
        async with connecting(site, port) as (process, url):
            stray = f"http://localhost:{port}/oauth/callback?code=a&state={'A' * 43}"
            assert fetch(stray)[0] == 400
            assert fetch(f"http://localhost:{port}/")[0] == 404
            visit = await browser.consent(http(), url, account=ALICE)
            assert visit.status == 200
            assert visit.body == "Connected. You may close this window and go back to the terminal.\n"
            assert process.wait() == 0
            assert process.said.splitlines()[-1] == (
                f"Connected {ALICE}. A running gateway starts to sync immediately."
            )
        account = site.synced()
        assert (account["account"], account["state"]) == (ALICE, "ok")


@pytest.mark.long  # tests/web/test_consent has what a callback does
@pytest_twisted.ensureDeferred
async def test_refused(site: Site, port: int) -> None:
    """The command says so, as the page would; nothing is stored."""
    async with connecting(site, port) as (process, url):
        visit = await browser.consent(http(), url, account=ALICE, cancel=True)
        assert visit.status == 403
        assert process.wait() == 1
        assert f"ldapgw: {PAGES.refused.title}: " in process.said
    assert site.accounts() == []


async def address_after_consent(url: str) -> str:
    """Return the browser's last address, on a machine on which nobody listens there."""
    client = http()
    page = await browser.open_page(client, url)
    (form, *_) = browser.read_forms(page.body)
    fields = browser.consent_fields(form, ALICE, None, cancel=False)
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    target, data = urljoin(page.url, form.action), urlencode(fields).encode()
    answer = await client.request("POST", target, headers=kind, data=data, allow_redirects=False)
    return str(answer.headers.getRawHeaders("location")[0])


async def paste(site: Site, port: int, pasted: Callable[[str], str]) -> tuple[int, str, str]:
    """``ldapgw connect --paste``: its status and words, given what is made of the browser's address."""
    command = site.command("connect", "--paste", "--port", str(port))
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, cwd=site.folder) as process:
        assert process.stdout is not None
        address = await address_after_consent(process.stdout.readline().strip())
        assert address.startswith(f"http://localhost:{port}/oauth/callback?")
        out, err = process.communicate(f"  {pasted(address)}\n", timeout=PATIENCE)
    return process.returncode, out, err


@pytest.mark.long  # starts the command twice; tests/web/test_consent has what a callback is refused for
@pytest_twisted.ensureDeferred
async def test_by_pasting(site: Site, port: int) -> None:
    """Nobody listens; the address that the browser shows is enough, and no other is."""
    command = ["--config", str(site.file), "connect", "--paste", "--port", str(port)]
    done = CliRunner().invoke(main, command, input=f"http://localhost:{port}/\n")
    assert (done.exit_code, "ldapgw: this is not the right address" in done.stderr) == (1, True)
    status, _, err = await paste(site, port, lambda address: address.replace("state=", "state=A"))
    assert (status, f"ldapgw: {PAGES.expired.title}" in err) == (1, True)
    assert site.accounts() == []
    told = f"Connected {ALICE}. A running gateway starts to sync immediately.\n"
    assert (await paste(site, port, lambda address: address))[:2] == (0, told)
    assert [one["account"] for one in site.accounts()] == [ALICE]


@pytest.mark.long
def test_a_port_in_use(tmp_path: Path) -> None:
    """By default it is that of the page, where the page is on localhost; a gateway that runs has it.

    No address is printed that leads nowhere.
    """
    site = Site(tmp_path)
    with socket.create_server(("127.0.0.1", site.web_port)):
        done = site.process("connect")
    assert done.returncode == 1
    assert f"ldapgw: cannot listen on port {site.web_port} of localhost" in done.stderr
    assert "--paste" in done.stderr
    assert done.stdout == ""


def test_without_a_client(tmp_path: Path) -> None:
    """There is nobody to ask for consent."""
    site = Site(tmp_path)
    kept = [line for line in site.file.read_text().splitlines() if not line.startswith("client_")]
    site.file.write_text("\n".join(kept))
    done = site.process("connect")
    assert done.returncode == 1
    assert f"ldapgw: {PAGES.no_client.title}: " in done.stderr
